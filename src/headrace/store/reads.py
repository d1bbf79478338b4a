"""What people and programs see of jobs, queues, workers and pipelines.

Reads take no locks and no snapshot that spans statements: what is shown was true a moment ago.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import orjson

from headrace.store.sql import SQL

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import asyncpg

    from headrace.store.pool import Connection

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class JobSummary:
    """One line of a listing of jobs."""

    id: str
    queue: str
    pipeline: str
    version: str
    tenant: str
    owner: str
    state: str
    priority: int
    run: int
    wait_reason: str | None
    due_at: datetime
    cause: str | None
    lease_losses: int
    correlation_id: str | None
    parent_job: str | None
    input_preview: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    ordering_key: str | None = None
    concurrency_key: str | None = None
    blocked_by: str | None = None
    """Which key or limit keeps it from running, where it is due."""
    undo_of: str | None = None
    """The job that it undoes, of an undo job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs to list; what is None does not matter."""

    tenant: str | None = None
    owner: str | None = None
    states: Sequence[str] | None = None
    pipeline: str | None = None
    preset: str | None = None
    queue: str | None = None
    priority: int | None = None
    wait_reason: str | None = None
    cause: str | None = None
    correlation_id: str | None = None
    parent_job: UUID | None = None
    created_since: datetime | None = None
    created_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A run that failed, until somebody redrives it."""

    job: str
    run: int
    tenant: str
    owner: str
    queue: str
    pipeline: str
    version: str
    cause: str
    code: str
    message: str
    step: str | None
    item: str | None
    attempts: int
    lease_losses: int
    error_class: str | None
    correlation_id: str | None
    failed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterFilter:
    """Which dead letters are meant; what is None does not matter."""

    tenant: str | None = None
    owner: str | None = None
    pipeline: str | None = None
    cause: str | None = None
    code: str | None = None
    failed_since: datetime | None = None
    failed_before: datetime | None = None
    text: str | None = None
    """Part of the message, in any case."""
    jobs: Sequence[UUID] | None = None
    queue: str | None = None
    correlation_id: str | None = None


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """A queue. `depth` counts all that is queued, `due` what could start now.

    `blocked` counts what is due, and waits for other jobs of its key or tenant.
    """

    name: str
    paused_at: datetime | None
    paused_by: str | None
    pause_reason: str | None
    concurrency: int | None
    """Most of its jobs that run at once; None for any number."""
    depth: int
    due: int
    blocked: int
    running: int
    oldest_age_s: float | None
    """Seconds since the oldest job that could start became due; None where none could."""
    waiting: int = 0
    """Those that wait for their time, a signal or another job."""


@dataclass(frozen=True, slots=True)
class Unclaimable:
    """Queued jobs of a lane that no living worker carries."""

    queue: str
    pipeline: str
    version: str
    jobs: int
    oldest_due_at: datetime


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A worker process; `state` is alive, draining, stale, lost or stopped."""

    id: int
    host: str
    pid: int
    version: str
    queues: Sequence[str]
    carries: Any
    lanes: Sequence[int]
    concurrency: int
    running: int
    presence: bool
    started_at: datetime
    heartbeat_at: datetime
    expires_at: datetime
    draining_at: datetime | None
    lost_at: datetime | None
    stopped_at: datetime | None
    state: str


@dataclass(frozen=True, slots=True)
class RegisteredPipeline:
    """A version of a pipeline as its workers or submitters registered it."""

    name: str
    version: str
    hash: str
    definition: dict[str, Any]
    registered_at: datetime
    queues: Sequence[str]


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One transition of a job."""

    seq: int
    run: int
    from_state: str | None
    to_state: str
    reason: str
    actor: str | None
    worker: int | None
    token: int | None
    at: datetime
    metadata: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class JobInput:
    """A job's input as JSON text, and what else only its own page shows."""

    input: str
    erased_at: datetime | None
    now: datetime
    """The engine's time."""


async def list_jobs(
    connection: Connection,
    wanted: JobFilter,
    *,
    before: UUID | None,
    limit: int,
    offset: int = 0,
) -> list[JobSummary]:
    """Jobs, newest first, from the one after `before` on, or after passing over `offset`."""
    rows = await connection.fetch(
        SQL["reads.list_jobs"],
        *_filters(wanted),
        before,
        limit,
        wanted.preset,
        offset,
    )
    return [_made(JobSummary, row) for row in rows]


async def count_jobs(connection: Connection, wanted: JobFilter, *, most: int) -> int:
    """How many jobs there are, counted up to `most`."""
    count: int = await connection.fetchval(
        SQL["reads.count_jobs"],
        *_filters(wanted),
        most,
        wanted.preset,
    )
    return count


def _filters(wanted: JobFilter) -> tuple[Any, ...]:
    return (
        wanted.tenant,
        wanted.owner,
        None if wanted.states is None else list(wanted.states),
        wanted.pipeline,
        wanted.queue,
        wanted.priority,
        wanted.wait_reason,
        wanted.cause,
        wanted.correlation_id,
        wanted.parent_job,
        wanted.created_since,
        wanted.created_before,
    )


async def read_input(connection: Connection, job: UUID) -> JobInput | None:
    """The input of a job as it was accepted; None where there is no such job."""
    row = await connection.fetchrow(SQL["reads.read_input"], job)
    return None if row is None else JobInput(*row)


async def list_artifacts(connection: Connection, job: UUID, run: int) -> dict[tuple[str, str], str]:
    """The references to those outputs of a run that are artifacts, by step and item."""
    rows = await connection.fetch(SQL["reads.list_artifacts"], job, run)
    return {(row["step"], row["item"]): row["artifact"] for row in rows}


async def list_dead_letters(
    connection: Connection,
    wanted: DeadLetterFilter,
    *,
    before: tuple[datetime, UUID] | None,
    limit: int,
) -> list[DeadLetter]:
    """Dead letters, newest first, from the one after `before` on."""
    rows = await connection.fetch(
        SQL["reads.list_dead_letters"],
        wanted.tenant,
        wanted.pipeline,
        wanted.cause,
        wanted.code,
        wanted.failed_since,
        wanted.failed_before,
        wanted.text,
        None if wanted.jobs is None else list(wanted.jobs),
        before and before[0],
        before and before[1],
        limit,
        wanted.owner,
        wanted.queue,
        wanted.correlation_id,
    )
    return [_made(DeadLetter, row) for row in rows]


async def list_queues(connection: Connection) -> list[QueueStatus]:
    """Every queue, by name."""
    return [_made(QueueStatus, row) for row in await connection.fetch(SQL["reads.list_queues"])]


async def list_queues_of(
    connection: Connection, tenant: str, owner: str | None
) -> list[QueueStatus]:
    """Every queue, by name, with counts of the jobs of a tenant, or of one owner of it.

    Why one is paused is not told.
    """
    rows = await connection.fetch(SQL["reads.list_queues_of"], tenant, owner)
    return [_made(QueueStatus, row) for row in rows]


async def list_queue_names(connection: Connection) -> list[str]:
    """The names of all queues."""
    return [row["name"] for row in await connection.fetch(SQL["reads.list_queue_names"])]


async def list_unclaimable(connection: Connection) -> list[Unclaimable]:
    """Lanes with queued jobs that no living worker carries."""
    rows = await connection.fetch(SQL["reads.list_unclaimable"])
    return [_made(Unclaimable, row) for row in rows]


async def list_workers(connection: Connection, *, limit: int) -> list[WorkerStatus]:
    """Workers, newest first, with those that ended."""
    rows = await connection.fetch(SQL["workers.list_workers"], limit)
    return [
        WorkerStatus(**{**row, "carries": orjson.loads(row["carries"])}) for row in map(dict, rows)
    ]


async def list_pipelines(connection: Connection) -> list[RegisteredPipeline]:
    """Every registered version, by name and newest first."""
    rows = await connection.fetch(SQL["reads.list_pipelines"])
    return [
        RegisteredPipeline(**{**row, "definition": orjson.loads(row["definition"])})
        for row in map(dict, rows)
    ]


async def read_history(
    connection: Connection, job: UUID, *, after: int = 0, limit: int = 1_000
) -> list[HistoryEntry]:
    """A job's transitions after the event `after`, oldest first; empty where there is no job."""
    rows = await connection.fetch(SQL["reads.read_events"], job, after, limit)
    return [HistoryEntry(**{**row, "metadata": loaded(row["metadata"])}) for row in map(dict, rows)]


def loaded(text: str | None) -> Any:  # noqa: ANN401 - any JSON value
    """A JSON column; null is None."""
    return None if text is None else orjson.loads(text)


def _made(kind: type[T], row: asyncpg.Record) -> T:
    """A row as a value of `kind`, by position; ids as text."""
    return kind(*(str(value) if isinstance(value, UUID) else value for value in row))
