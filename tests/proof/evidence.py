"""What the checker reads: the tables at one moment, with the two other witnesses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final, TypeAlias, TypeVar
from uuid import UUID

import asyncpg

from tests.proof.effects import Effect
from tests.proof.guard import GuardedWrite
from tests.proof.journal import Request
from tests.proof.receipts import Receipt
from tests.proof.sending import Sent
from tests.proof.violation import Row

RowId: TypeAlias = tuple[UUID, int, str, str]
"""Job, run, step, item."""

K = TypeVar("K")

FINAL: Final = ("completed", "failed", "cancelled")

TABLES: Final = {
    "jobs": """
        select job.*, headrace.share_of(job.tenant) as share,
            lane.queue, lane.pipeline, lane.version
        from headrace.jobs as job left join headrace.lanes as lane on lane.id = job.lane
        order by job.id
    """,
    "queued": "select * from headrace.queued order by job",
    "claims": "select * from headrace.claims order by token",
    "steps": """
        select *, xmin::text as written from headrace.steps order by job, run, finished_at
    """,
    "tries": """
        select *, xmin::text as written from headrace.tries order by job, run, failed_at
    """,
    "records": """
        select *, xmin::text as written from headrace.records order by job, run, finished_at
    """,
    "progress": "select * from headrace.progress order by job, step, item",
    "events": """
        select *, xmin::text as written from headrace.job_events order by job, seq
    """,
    "workers": "select * from headrace.workers order by id",
    "dead_letters": "select * from headrace.dead_letters order by job, run",
    "topics": "select * from headrace.topics order by kind",
    "outbox": "select * from headrace.outbox order by id",
    "lock_grants": "select * from headrace.lock_grants order by token, change",
    "blocked": "select * from headrace.blocked order by job",
    "signals": "select * from headrace.signals order by job, run, name",
    "waits": "select * from headrace.waits order by job, run, step, item, kind, name",
    "children": "select * from headrace.children order by child",
    "slots": "select * from headrace.schedule_slots order by pipeline, schedule, slot",
    "pipelines": "select name, version, undos from headrace.pipelines order by name, version",
    "limits": """
        select 'queue' as kind, name, concurrency as most
        from headrace.queues where concurrency is not null
        union all
        select 'tenant', tenant, concurrency from headrace.tenant_limits
        union all
        select 'pipeline', known.name, known.concurrency
        from (select distinct name from headrace.pipelines) as pipeline
        cross join lateral (
            select pipeline.name, limits.concurrency from headrace.pipeline_limits(pipeline.name)
                as limits
        ) as known
        where known.concurrency is not null
        union all
        select 'key', pipeline.name, limits.key_concurrency
        from (select distinct name from headrace.pipelines) as pipeline
        cross join lateral headrace.pipeline_limits(pipeline.name) as limits
    """,
}


@dataclass(frozen=True, slots=True)
class Expectations:
    """What is known of the run that left the evidence.

    Attributes:
        drained: All faults are over and all work is done: nothing may be left behind.
        settled: No worker died since the last look for dead ones, so every holder is alive.
        attempts: The budget of a step, by pipeline and step.
        crash_limit: Charges that fail a job.
        transactional: Steps that do all their work again where their commit fails.
        head_start: What one point of priority is worth.
        at_least: Steps whose items may fail, with how many have to succeed.
    """

    drained: bool = False
    settled: bool = False
    attempts: Callable[[str, str], int] = lambda _pipeline, _step: 5
    crash_limit: int = 3
    transactional: frozenset[str] = frozenset()
    head_start: timedelta = timedelta(seconds=60)
    at_least: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Grant:
    """The time in which one claim held a job."""

    token: int
    worker: int | None
    run: int
    at: datetime
    ended_at: datetime | None = None
    ended_by: str | None = None
    """The transaction that ended it; what it wrote besides belongs to the holder."""

    def covers(self, at: datetime, transaction: str) -> bool:
        """Whether a row of this time and transaction was written by the holder."""
        in_time = self.ended_at is None or at <= self.ended_at
        return self.at <= at and (in_time or transaction == self.ended_by)


@dataclass(frozen=True)
class Evidence:
    """All tables at one moment, and what client and steps wrote down (None: nobody did).

    Attributes:
        receipts: What came from topics.
        forgotten: Ids of events that a server took and forgot, as a real one never does.
        guarded: What was written to the resource that locks guard.
        sent: What was sent to jobs.
    """

    now: datetime
    jobs: list[Row]
    queued: list[Row]
    claims: list[Row]
    steps: list[Row]
    tries: list[Row]
    records: list[Row]
    progress: list[Row]
    events: list[Row]
    workers: list[Row]
    dead_letters: list[Row]
    topics: list[Row]
    outbox: list[Row]
    lock_grants: list[Row]
    blocked: list[Row]
    signals: list[Row]
    waits: list[Row]
    children: list[Row]
    slots: list[Row]
    pipelines: list[Row]
    limits: list[Row]
    expect: Expectations = field(default_factory=Expectations)
    journal: Sequence[Request] | None = None
    effects: Sequence[Effect] | None = None
    receipts: Sequence[Receipt] | None = None
    forgotten: frozenset[str] = frozenset()
    guarded: Sequence[GuardedWrite] | None = None
    sent: Sequence[Sent] | None = None

    @cached_property
    def job_by_id(self) -> Mapping[UUID, Row]:
        """Each job."""
        return {job["id"]: job for job in self.jobs}

    @cached_property
    def events_of(self) -> Mapping[UUID, list[Row]]:
        """The history of each job that has one, by seq."""
        return _grouped(self.events, lambda row: row["job"])

    @cached_property
    def grants_of(self) -> Mapping[UUID, list[Grant]]:
        """The claims of each job, in order."""
        return {job: _grants(events) for job, events in self.events_of.items()}

    @cached_property
    def step_by_id(self) -> Mapping[RowId, Row]:
        """Each checkpoint and plan."""
        return {row_id(row): row for row in self.steps}

    @cached_property
    def steps_of(self) -> Mapping[tuple[UUID, int], list[Row]]:
        """The checkpoints and plans of each run."""
        return _grouped(self.steps, lambda row: (row["job"], row["run"]))

    @cached_property
    def worker_by_id(self) -> Mapping[int, Row]:
        """Each worker."""
        return {worker["id"]: worker for worker in self.workers}


async def collect(
    connection: asyncpg.Connection[asyncpg.Record],
    expect: Expectations | None = None,
    *,
    journal: Iterable[Request] | None = None,
    effects: Iterable[Effect] | None = None,
) -> Evidence:
    """Read all tables in one snapshot."""
    tables: dict[str, Any] = {}
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        now = await connection.fetchval("select headrace.now()")
        for name, statement in TABLES.items():
            tables[name] = [dict(row) for row in await connection.fetch(statement)]
    evidence = Evidence(now, **tables)
    return replace(
        evidence,
        expect=expect or Expectations(),
        journal=None if journal is None else list(journal),
        effects=None if effects is None else list(effects),
    )


def row_id(row: Row) -> RowId:
    """The step or item, in its run, to which a row belongs."""
    return row["job"], row["run"], row["step"], row["item"]


def short(row: Row, *columns: str) -> Row:
    """The columns of a row that a report shows."""
    return {column: row[column] for column in columns}


def _grouped(rows: Iterable[Row], key: Callable[[Row], K]) -> Mapping[K, list[Row]]:
    groups: defaultdict[K, list[Row]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups


def _grants(events: Iterable[Row]) -> list[Grant]:
    grants: list[Grant] = []
    for event in events:
        if event["to_state"] == "running":
            grants.append(Grant(event["token"], event["worker"], event["run"], event["at"]))
        elif grants and grants[-1].ended_at is None:
            grants[-1].ended_at, grants[-1].ended_by = event["at"], event["written"]
    return grants
