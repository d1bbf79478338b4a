"""The statements of the engine, called one by one as a worker would."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol
from uuid import UUID

import asyncpg

from headrace.store.pool import connect
from headrace.store.sql import SQL
from tests.proof.violation import Row

if TYPE_CHECKING:
    from headrace.store.pool import HeldConnection

HEAD_START: Final = timedelta(seconds=60)
LEASE: Final = timedelta(seconds=30)
GRACE: Final = timedelta(seconds=5)
SUSPECT_FIRST: Final = timedelta(seconds=5)
SUSPECT_NEXT: Final = timedelta(seconds=30)
CRASH_LIMIT: Final = 3
PRESENCE_CLASS: Final = 77
QUEUE: Final = "default"
TENANTS: Final = ("default", "other")
PRESENCE: Final = False
"""Nobody here holds a worker's advisory lock."""

PLANNER: Final = {
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "enable_material": "off",
    "plan_cache_mode": "force_generic_plan",
}

MOVABLE_CLOCK: Final = """
    create or replace function headrace.now() returns timestamptz
    language sql stable parallel safe
    return statement_timestamp()
        + coalesce(nullif(current_setting('headrace.ahead', true), ''), '0')::float8
        * interval '1 second'
"""

TRUNCATE: Final = """
    truncate headrace.jobs, headrace.queued, headrace.claims, headrace.steps, headrace.records,
        headrace.tries, headrace.progress, headrace.job_events, headrace.workers,
        headrace.dead_letters, headrace.queues, headrace.lanes, headrace.artifacts,
        headrace.locks, headrace.lock_grants, headrace.signals, headrace.waits, headrace.children,
        headrace.schedule_slots;
    alter sequence headrace.tokens restart;
    alter sequence headrace.worker_ids restart;
"""


def quota(most: int) -> int:
    """The most jobs of one tenant in a claim."""
    return -(-most // len(TENANTS))


class Texts(Protocol):
    """Where the text of a statement is looked up."""

    def __getitem__(self, name: str) -> str: ...


class Changed:
    """The statements, with a part of some of them replaced: what a sabotage test runs on."""

    def __init__(self, changes: Mapping[str, tuple[str, str]]) -> None:
        self._texts = {}
        for name, (old, new) in changes.items():
            text = SQL[name]
            assert old in text, f"{name} no longer holds {old!r}"
            self._texts[name] = text.replace(old, new)

    def __getitem__(self, name: str) -> str:
        return self._texts.get(name) or SQL[name]


@dataclass(frozen=True, slots=True)
class Held:
    """A job as its holder knows it; the holder may be wrong."""

    job: UUID
    token: int
    run: int
    worker: int
    suspicion: int = 0


@dataclass(slots=True)
class Change:
    """What one transaction of the ledger writes for a job."""

    held: Held
    steps: list[tuple[str, str, str, str | None]] = field(default_factory=list)
    """Step, item, state, output."""
    records: list[tuple[str, str, str, str]] = field(default_factory=list)
    """Step, item, name, output."""
    tries: list[tuple[str, str, int, float | None]] = field(default_factory=list)
    """Step, item, attempt, wait."""
    waits: list[tuple[str, str, str, str, float | None]] = field(default_factory=list)
    """Step, item, kind, name, seconds."""
    starts: list[tuple[str, str]] = field(default_factory=list)
    clears: list[tuple[str, str]] = field(default_factory=list)
    calm: bool = False
    end: tuple[str, str | None] | None = None
    """State, and the result step or the cause."""
    release: tuple[float, str] | None = None
    """Wait and reason."""


class Database:
    """One session on a migrated database, with a clock that `shift` moves."""

    def __init__(self, connection: HeldConnection, texts: Texts = SQL) -> None:
        self.connection, self._texts = connection, texts
        self.lane, self.shares = 0, list[int]()
        self.first_job = 0
        self._jobs = itertools.count(1)

    @classmethod
    async def open(cls, address: str, texts: Texts = SQL) -> Database:
        """Connect as the engine does."""
        connection = await connect(address, settings=PLANNER)
        await connection.execute(MOVABLE_CLOCK)
        await connection.execute("set synchronous_commit = off")
        return cls(connection, texts)

    async def reset(self) -> None:
        """Forget everything."""
        await self.connection.execute(TRUNCATE)
        self._jobs = itertools.count(1)
        await self.shift(0)
        self.lane = (await self.run("submit.add_lane", QUEUE, "proof", "1.0.0"))[0]["id"]
        rows = await self.connection.fetch(
            "select headrace.share_of(tenant) from unnest($1::text[]) as tenant", TENANTS
        )
        self.shares = [row["share_of"] for row in rows]

    async def shift(self, seconds: float) -> None:
        """Set how far headrace's clock is ahead."""
        await self.connection.execute(f"set headrace.ahead = '{seconds}'")

    async def run(self, name: str, *arguments: object) -> list[asyncpg.Record]:
        """Run a statement by name."""
        return await self.connection.fetch(self._texts[name], *arguments)

    async def submit(
        self, count: int = 1, *, priority: int = 5, wait_s: float | None = None,
        deadline_s: float | None = None, tenant: str = TENANTS[0],
    ) -> list[UUID]:  # fmt: skip
        """Store jobs."""
        ids = [
            UUID(int=self.first_job + next(self._jobs)) for _ in range(count)
        ]  # the same in each repetition
        now = await self.connection.fetchval("select headrace.now()")
        due, deadline = (
            None if seconds is None else now + timedelta(seconds=seconds)
            for seconds in (wait_s, deadline_s)
        )
        await self.run(
            "submit.insert_jobs", ids, ['{"n":1}'] * count, self.lane, tenant, "default",
            priority, due, HEAD_START, deadline, None, None, None, None, None, "user", None,
        )  # fmt: skip
        return ids

    async def start_worker(self) -> int:
        """Register a worker without presence, so that its lease alone decides."""
        worker: int = (await self.run("workers.next_worker"))[0][0]
        await self.run(
            "workers.start_worker", worker, "here", 1, "1.0.0", [QUEUE], "{}", [self.lane], 10,
            LEASE, PRESENCE,
        )  # fmt: skip
        return worker

    async def renew(self, worker: int) -> bool:
        """Extend a lease; False says that the worker is lost."""
        return bool(await self.run("workers.renew_worker", worker, LEASE, PRESENCE, 0, [self.lane]))

    async def claim(self, worker: int, most: int = 10, *, suspects: bool = False) -> list[Held]:
        """Take due jobs."""
        rows = await self.run(
            "claims.claim_jobs", worker, [self.lane] * len(TENANTS), most, suspects, [],
            self.shares, quota(most),
        )  # fmt: skip
        return [Held(row["id"], row["token"], row["run"], worker, row["suspicion"]) for row in rows]

    async def finish(self, worker: int, jobs: Sequence[Held], output: str) -> dict[UUID, str]:
        """End jobs with their only step's output; those that the fence let through."""
        count = len(jobs)
        rows = await self.run(
            "ledger.finish_jobs", [held.job for held in jobs], [held.token for held in jobs],
            ["last"] * count, [9] * count, [1] * count, [5] * count, [output] * count,
            ["last"] * count, worker,
        )  # fmt: skip
        return {row["id"]: row["state"] for row in rows}

    async def checkpoint(
        self, worker: int, rows: Sequence[tuple[Held, str, str, str]]
    ) -> set[tuple[UUID, str, str]]:
        """Store outputs (holder, step, item, output); those that the fence let through."""
        count = len(rows)
        stored = await self.run(
            "ledger.checkpoint_steps", [row[0].job for row in rows],
            [row[0].token for row in rows], [row[1] for row in rows], [row[2] for row in rows],
            [1] * count, [1] * count, [5] * count, [row[3] for row in rows], worker,
        )  # fmt: skip
        return {(row["id"], row["step"], row["item"]) for row in stored}

    async def change(self, change: Change) -> str | None:
        """Run the ledger's transaction: None if the fence refused, else where the job is now."""
        held = change.held
        async with self.connection.transaction():
            locked = await self.run("ledger.fence_jobs", [held.job], [held.token])
            if not locked:
                return None
            await self._insert(change)
            return await self._move(change)

    async def _insert(self, change: Change) -> None:
        job, run, token, worker = (
            change.held.job, change.held.run, change.held.token, change.held.worker,
        )  # fmt: skip
        for step, item, state, output in change.steps:
            await self.run(
                "ledger.insert_steps", [job], [run], [step], [item], [state], [1], [1], worker,
                [token], [5], [output], [None], [None], [None],
            )  # fmt: skip
        for step, item, name, output in change.records:
            await self.run(
                "ledger.insert_records", [job], [run], [step], [item], [name], worker, [token],
                [5], [output], [None],
            )  # fmt: skip
        for step, item, attempt, wait_s in change.tries:
            await self.run(
                "ledger.insert_tries", [job], [run], [step], [item], [attempt], worker, [token],
                [5], ["unknown"], ["BOOM"], ["boom"], [None], [wait_s],
            )  # fmt: skip
        for step, item in change.clears:
            await self.run("ledger.clear_starts", [job], [step], [item])
        for step, item in change.starts:
            await self.run("ledger.record_starts", [job], [run], [step], [item], worker, [token])
        for step, item, kind, name, wait_s in change.waits:
            await self.run(
                "ledger.insert_waits", [job], [run], [step], [item], [kind], [name], [wait_s],
                [token],
            )  # fmt: skip
        if change.calm:
            await self.run("ledger.calm_jobs", [job])

    async def _move(self, change: Change) -> str:
        held, moved = change.held, "running"
        if change.end is not None:
            state, word = change.end
            failed = state == "failed"
            rows = await self.run(
                "ledger.end_jobs", [held.job], [state], [word if failed else state],
                [word if failed else None], ['{"code":"BOOM"}' if failed else None],
                [None if failed else word], [None], [None], held.worker,
            )  # fmt: skip
            moved = rows[0]["state"]
        elif change.release is not None:
            wait_s, reason = change.release
            signals, children = (
                ",".join(row[3] for row in change.waits if row[2] == kind) or None
                for kind in ("signal", "child")
            )
            rows = await self.run(
                "ledger.release_jobs", [held.job], [wait_s], [reason], [None], held.worker,
                HEAD_START, [signals], [children],
            )  # fmt: skip
            moved = rows[0]["state"]
        return moved

    async def note(self, held: Held, step: str, item: str) -> None:
        """Show that a step runs."""
        await self.run(
            "ledger.note_progress", [held.job], [held.token], [step], [item], held.worker, [1.5],
            [None], [None], [None],
        )  # fmt: skip

    async def cancel(self, job: UUID) -> str | None:
        """Cancel a job: `cancelled`, `asked`, or None where it had ended."""
        place = (await self.run("operations.job_place", job))[0]
        async with self.connection.transaction():
            taken = await self.run(
                "operations.take_queued", job, place["lane"], place["suspicion"] == 2,
                place["rank"], place["due_at"], place["tenant"],
            )  # fmt: skip
            if taken and await self.run("operations.cancel_queued", job, "user", "enough"):
                return "cancelled"
        asked = await self.run("operations.request_cancel", job, "user", "enough")
        return "asked" if asked else None

    async def lose_workers(self) -> list[int]:
        """Mark workers lost whose lease is over."""
        return [row["id"] for row in await self.run("workers.lose_workers", PRESENCE_CLASS, GRACE)]

    async def orphans(self) -> list[int]:
        """The tokens of claims that nobody alive holds."""
        return [row["token"] for row in await self.run("workers.orphaned_claims", 100)]

    async def recover(self, token: int, reaper: int) -> list[Row]:
        """Take back the jobs of one orphaned claim."""
        rows = await self.run(
            "recovery.recover_jobs", token, HEAD_START, CRASH_LIMIT, SUSPECT_FIRST, SUSPECT_NEXT,
            reaper,
        )  # fmt: skip
        return [dict(row) for row in rows]

    async def forget(self, token: int) -> None:
        """Remove a claim that holds nothing any more."""
        await self.run("recovery.forget_claim", token)

    async def reopen(self, job: UUID, *, reuse: bool = False) -> bool:
        """Open the next run of an ended job, perhaps with the outputs that it had."""
        async with self.connection.transaction():
            run = (await self.run("operations.lock_job", job))[0]["run"]
            opened = await self.run(
                "operations.reopen_job", job, "user", "restarted", None, HEAD_START
            )
            if opened:
                again: list[str] | None = [] if reuse else None
                await self.run("operations.reuse_steps", job, run, again)
                await self.run("operations.reuse_records", job, run, again)
        return bool(opened)
