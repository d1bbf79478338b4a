"""Jobs that end, receivers of what is told of them, and rows of the outbox."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg

from headrace.store.outbox import Delivery, Outgoing
from headrace.store.session import Session
from headrace.store.sql import SQL
from headrace.store.workers import expire_queued, recover_jobs
from headrace.worker.relay import Relayed, relay_once
from tests.engine_rows import RULES, Rows
from tests.waiting import eventually

ENDS: Final = ("completed", "failed", "cancelled")
SENT: Final = Delivery.sent("message")
AS_NEW: Final = """
truncate headrace.jobs, headrace.queued, headrace.claims, headrace.steps, headrace.tries,
    headrace.progress, headrace.job_events, headrace.dead_letters, headrace.pipelines,
    headrace.webhooks, headrace.topics, headrace.outbox;
drop trigger if exists job_events_outbox on headrace.job_events;
create or replace function headrace.now() returns timestamptz
language sql stable parallel safe return statement_timestamp();
"""


class Receivers:
    """A sender that keeps what it was given, and answers as each endpoint is told to."""

    def __init__(self) -> None:
        self.got: list[Outgoing] = []
        self.calls: list[tuple[str, int]] = []
        self.answers: dict[str, Callable[[Outgoing], Delivery]] = {}
        self.closed: set[str] = set()
        self.open = asyncio.Event()
        self.under_way: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.is_closed = False

    async def send(self, events: Sequence[Outgoing]) -> Sequence[Delivery]:
        endpoint = events[0].endpoint
        self.calls.append((endpoint, len(events)))
        self.got += events
        self.under_way[endpoint] += len(events)
        self.most[endpoint] = max(self.most[endpoint], self.under_way[endpoint])
        try:
            if endpoint in self.closed:
                await self.open.wait()
            return [self.answers.get(endpoint, lambda _: SENT)(event) for event in events]
        finally:
            self.under_way[endpoint] -= len(events)

    async def close(self) -> None:
        self.is_closed = True

    def ids(self, endpoint: str | None = None) -> list[UUID]:
        return [one.event_id for one in self.got if endpoint in {None, one.endpoint}]


async def subscribe(
    rows: Rows,
    *,
    tenant: str = "tenant",
    owner: str | None = None,
    job: UUID | None = None,
    events: list[str] | None = None,
    url: str = "https://receiver.example/hook",
) -> UUID:
    webhook: UUID = await rows.connection.fetchval(
        "insert into headrace.webhooks (tenant, owner, job, url, created_by, events)"
        " values ($1, $2, $3, $4, 'test', $5) returning id",
        *(tenant, owner, job, url, events or [f"job.{end}" for end in ENDS]),
    )
    return webhook


async def events_of(rows: Rows, job: UUID | None = None) -> list[asyncpg.Record]:
    return await rows.connection.fetch(
        "select *, xmin::text as written from headrace.outbox"
        " where $1::uuid is null or job = $1 order by id",
        job,
    )


async def kinds_of(rows: Rows, job: UUID | None = None) -> list[str]:
    return sorted(event["kind"] for event in await events_of(rows, job))


async def once(
    session: Session, receivers: Receivers, *, limit: int = 100_000, seconds: float = 10
) -> Relayed:
    senders = {"webhook": receivers, "topic": receivers}
    return await relay_once(session, senders, limit=limit, seconds=seconds)


async def fill(rows: Rows, webhook: UUID, count: int) -> None:
    """So many events for a webhook, as the trigger writes them."""
    await rows.connection.execute(
        "insert into headrace.outbox (webhook, endpoint, kind, payload, tenant)"
        " select id, endpoint, 'job.completed', '{}', tenant from headrace.webhooks,"
        " generate_series(1, $2) where id = $1",
        webhook,
        count,
    )


async def finished(rows: Rows, count: int = 1) -> list[UUID]:
    claims = await rows.claimed(count)
    for claim in claims:
        await rows.end(claim)
    return [claim["id"] for claim in claims]


async def event(rows: Rows) -> Any:  # noqa: ANN401 - a row
    return await rows.connection.fetchrow("select * from headrace.outbox")


async def finished_for(rows: Rows, receivers: Receivers, url: str) -> UUID:
    """A job that ended, and a receiver of its event that never answers."""
    await subscribe(rows, url=url)
    receivers.closed.add(url)
    (job,) = await finished(rows)
    return job


async def has(rows: Rows, condition: str) -> bool:
    """Whether there is such an event."""
    statement = f"select exists (select from headrace.outbox where {condition})"  # noqa: S608
    return bool(await rows.connection.fetchval(statement))


async def appears(rows: Rows, condition: str) -> None:
    """Wait for such an event."""

    async def is_there() -> bool:
        return await has(rows, condition)

    await eventually(is_there)


# --- some ways in which a job ends --------------------------------------------------------------


async def finish(rows: Rows) -> UUID:
    (claim,) = await rows.claimed()
    await rows.connection.execute(
        SQL["ledger.finish_jobs"],
        [claim["id"]], [claim["token"]], ["step"], [0], [1], [1], ["7"], ["step"], 1,
    )  # fmt: skip
    return UUID(str(claim["id"]))


async def fail_in_a_step(rows: Rows) -> UUID:
    (claim,) = await rows.claimed()
    await rows.end(claim, "failed")
    return UUID(str(claim["id"]))


async def pass_the_deadline(rows: Rows) -> UUID:
    at = await rows.connection.fetchval("select headrace.now() + interval '1 s'")
    (job,) = await rows.submit(deadline=at)
    await rows.wait(timedelta(seconds=2))
    await expire_queued(rows.connection)
    return job


async def lose_workers_again_and_again(rows: Rows) -> UUID:
    (claim,) = await rows.claimed()
    job = UUID(str(claim["id"]))
    await rows.connection.execute("update headrace.jobs set suspicion = 2 where id = $1", job)
    await rows.record_start(claim, 1)
    await rows.connection.execute("update headrace.progress set charges = 2 where job = $1", job)
    await recover_jobs(rows.connection, claim["token"], rules=RULES, reaper=1)
    return job
