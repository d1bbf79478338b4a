"""Rows of workers: their lease, their end, and the jobs that a dead one leaves behind.

Each function is one statement on the connection that it is given. The database's clock alone
decides what has expired.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from headrace.store.migrate import LOCK
from headrace.store.sql import SQL

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime, timedelta
    from uuid import UUID

    import asyncpg

    from headrace.store.pool import Connection

PRESENCE_CLASS: Final = LOCK[0]
"""First half of a worker's advisory lock; the second is its number, from 1."""
CANCEL_CHANNEL: Final = "headrace_cancel"
"""Where requests to cancel running jobs are told, as `<worker> <job id>`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerIdentity:
    """What a worker is registered as: a new one at every start, and after each lost lease.

    Attributes:
        id: From `next_worker`.
        host: Name of the machine or container.
        pid: Process id on that host.
        version: Version of headrace.
        queues: Queues that it serves.
        carries: JSON of the pipelines and versions that it carries, for people.
        concurrency: Jobs that it may run at once.
    """

    id: int
    host: str
    pid: int
    version: str
    queues: tuple[str, ...]
    carries: str
    concurrency: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LostWorker:
    """A worker that was just marked lost."""

    id: int
    vanished: bool
    """Its process was gone although its lease was not over yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrphanedClaim:
    """A claim whose worker is not alive."""

    token: int
    worker: int
    jobs: int
    """Jobs that still run under it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryRules:
    """What becomes of the jobs of a dead worker.

    Attributes:
        charges: Deaths charged to one step or item that fail its job, 1 to 20.
        first_wait: A job's wait when it becomes a suspect.
        later_wait: Its wait after each death that is charged.
        head_start: Time by which one point of priority moves a job forward in its queue.
    """

    charges: int
    first_wait: timedelta
    later_wait: timedelta
    head_start: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedJob:
    """A job that was moved by others than its worker; what its events tell of it."""

    id: UUID
    run: int
    tenant: str
    correlation_id: str | None
    job_latency_ms: float
    queue: str
    pipeline: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveredJob(MovedJob):
    """A job that was taken from a dead worker.

    Attributes:
        state: What it is now: `queued`, `failed` or `cancelled`.
        token: That of the claim that is over.
        suspicion: 1 when its starts are recorded from now on, 2 when it is run alone.
        charges: How often a death was charged to the step or item; None where this one was not.
        step: What this death was charged to.
        item: The item of it.
        lease_losses: Workers that this run lost.
        due_at: When it may be claimed again.
        cancel_requested_by: Who asked for its end.
    """

    state: str
    token: int
    suspicion: int
    charges: int | None
    step: str | None
    item: str | None
    lease_losses: int
    due_at: datetime
    cancel_requested_by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpiredJob(MovedJob):
    """A queued job that failed because its deadline passed."""

    cause: str


async def next_worker(connection: Connection) -> int:
    """A number that no worker had before."""
    return int(await connection.fetchval(SQL["workers.next_worker"]))


async def take_presence(connection: Connection, worker: int) -> bool:
    """Hold the worker's lock as long as this session lives; False while another one holds it."""
    return bool(await connection.fetchval(SQL["workers.take_presence"], PRESENCE_CLASS, worker))


async def session_process(connection: Connection) -> int:
    """The server's process behind this session."""
    return int(await connection.fetchval(SQL["workers.session_process"]))


async def start_worker(
    connection: Connection,
    worker: WorkerIdentity,
    *,
    lease: timedelta,
    presence: bool,
    lanes: Sequence[int],
) -> None:
    """Register a worker that is alive from now on; it does no harm to say it twice."""
    await connection.execute(
        SQL["workers.start_worker"],
        worker.id,
        worker.host,
        worker.pid,
        worker.version,
        list(worker.queues),
        worker.carries,
        list(lanes),
        worker.concurrency,
        lease,
        presence,
    )


async def renew_worker(
    connection: Connection,
    worker: int,
    *,
    lease: timedelta,
    presence: bool,
    running: int,
    lanes: Sequence[int],
) -> bool | None:
    """Extend a worker's lease from now, also when it was over.

    Args:
        connection: The session that holds the worker's lock, if `presence` is true.
        worker: Its number.
        lease: How long from now it may be silent.
        presence: Whether a free lock means its death.
        running: Jobs that it runs, for people.
        lanes: Lanes that it claims from, for people.

    Returns:
        Whether it was asked to drain; None when it is lost or stopped, and nothing was renewed.
    """
    draining: bool | None = await connection.fetchval(
        SQL["workers.renew_worker"], worker, lease, presence, running, list(lanes)
    )
    return draining


async def cancel_requests(connection: Connection, worker: int) -> list[tuple[UUID, int]]:
    """Running jobs of a worker that somebody asked to cancel, with their tokens."""
    rows = await connection.fetch(SQL["workers.cancel_requests"], worker)
    return [(row["id"], row["token"]) for row in rows]


async def stop_worker(connection: Connection, worker: int) -> None:
    """Sign a worker off. Claims that it still has are recovered by any other."""
    await connection.execute(SQL["workers.stop_worker"], worker)


async def drain_workers(connection: Connection, workers: Iterable[int] | None = None) -> list[int]:
    """Ask workers, by default all, to take nothing new, finish and end; returns those that live."""
    given = None if workers is None else list(workers)
    rows = await connection.fetch(SQL["workers.drain_workers"], given)
    return [row["id"] for row in rows]


async def list_workers(connection: Connection, *, limit: int = 100) -> list[asyncpg.Record]:
    """The newest workers, living or not, with the columns of `list_workers` in workers.sql."""
    return await connection.fetch(SQL["workers.list_workers"], limit)


async def lose_workers(connection: Connection, *, grace: timedelta) -> list[LostWorker]:
    """Mark workers lost whose lease is over, or whose process is gone for longer than `grace`."""
    rows = await connection.fetch(SQL["workers.lose_workers"], PRESENCE_CLASS, grace)
    return [LostWorker(**row) for row in rows]


async def orphaned_claims(connection: Connection, *, limit: int = 100) -> list[OrphanedClaim]:
    """The oldest claims whose worker is not alive, whatever ended it."""
    rows = await connection.fetch(SQL["workers.orphaned_claims"], limit)
    return [OrphanedClaim(**row) for row in rows]


async def recover_jobs(
    connection: Connection, token: int, *, rules: RecoveryRules, reaper: int
) -> list[RecoveredJob]:
    """Take the running jobs of an orphaned claim from their dead worker.

    Each job is taken once, whoever asks how often. One whose row is locked right now is left for
    the next call.
    """
    rows = await connection.fetch(
        SQL["recovery.recover_jobs"],
        token,
        rules.head_start,
        rules.charges,
        rules.first_wait,
        rules.later_wait,
        reaper,
    )
    return [RecoveredJob(**row) for row in rows]


async def forget_claim(connection: Connection, token: int) -> None:
    """Remove an orphaned claim, unless a job still runs under it."""
    await connection.execute(SQL["recovery.forget_claim"], token)


async def expire_queued(connection: Connection, *, limit: int = 100) -> list[ExpiredJob]:
    """Fail queued jobs whose deadline passed, the earliest first."""
    rows = await connection.fetch(SQL["recovery.expire_queued"], limit)
    return [ExpiredJob(**row) for row in rows]


async def prune_workers(connection: Connection, *, age: timedelta) -> int:
    """Forget workers that ended longer ago than `age` and hold nothing; returns how many."""
    return affected(await connection.execute(SQL["workers.prune_workers"], age))


async def ring_queues(connection: Connection, queues: Iterable[str]) -> None:
    """Wake every worker that listens, once for each queue."""
    for queue in queues:
        await connection.execute(SQL["submit.ring"], queue)


def affected(status: str) -> int:
    """The rows that a statement changed or removed, from the server's answer to it."""
    return int(status.rsplit(" ", 1)[-1])
