"""What operators do when nothing else helps: take jobs from workers, end them, empty queues."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from headrace.errors import JobNotFoundError, TransitionError
from headrace.model.job import JobState
from headrace.store.operations import PLACE_TRIES, take_queued
from headrace.store.sql import SQL

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from uuid import UUID

    from headrace.store.pool import HeldConnection

PURGE_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Forced:
    """A job that was ended, and what is told of it."""

    state: JobState
    """`failed`, or `cancelled` where that had been asked for before."""
    run: int
    tenant: str
    correlation_id: str | None
    job_latency_ms: float
    queue: str
    pipeline: str
    version: str


class InQueue(NamedTuple):
    """How many jobs there are in a queue at a time."""

    waiting: int
    running: int
    at: datetime


async def force_release(
    connection: HeldConnection, job: UUID, *, by: str, reason: str, head_start: timedelta
) -> JobState:
    """Take a running job away from its worker, and queue it again; what is stored is kept.

    The worker is not asked. What it still writes for the job is refused, as it holds it no more;
    what its step does elsewhere goes on, so a step can run twice at the same time.

    Returns:
        `queued`, or `cancelled` where that had been asked for.

    Raises:
        JobNotFoundError: There is no such job.
        TransitionError: It does not run.
    """
    state = await connection.fetchval(SQL["forcing.release_running"], job, by, reason, head_start)
    if state is None:
        place = await connection.fetchrow(SQL["operations.job_place"], job)
        if place is None:
            raise JobNotFoundError(job)
        raise TransitionError(JobState(place["state"]), "released")
    return JobState(state)


async def fail_job(connection: HeldConnection, job: UUID, *, by: str, reason: str) -> Forced:
    """End a job that has not ended as failed: it becomes a dead letter.

    Raises:
        JobNotFoundError: There is no such job.
        TransitionError: It has ended.
    """
    for _ in range(PLACE_TRIES):
        place = await connection.fetchrow(SQL["operations.job_place"], job)
        if place is None:
            raise JobNotFoundError(job)
        state = JobState(place["state"])
        if state.is_final:
            break
        async with connection.transaction():
            # The queue's row first: whoever removes it decides what becomes of the job.
            if state is JobState.QUEUED and not await take_queued(connection, place):
                continue
            row = await connection.fetchrow(SQL["forcing.fail_job"], job, by, reason, state)
        if row is not None:
            return Forced(JobState(row["state"]), *row[1:])
    raise TransitionError(state, "failed")


async def purge_queue(
    connection: HeldConnection,
    queue: str,
    *,
    by: str,
    reason: str,
    before: datetime,
    page: int = PURGE_PAGE,
) -> int:
    """Cancel up to `page` jobs that wait in a queue and were made before a time; how many."""
    count: int = await connection.fetchval(
        SQL["forcing.purge_queue"], queue, by, reason, before, page
    )
    return count


async def count_in_queue(connection: HeldConnection, queue: str) -> InQueue:
    """What waits and what runs in a queue."""
    (row,) = await connection.fetch(SQL["forcing.count_in_queue"], queue)
    return InQueue(*row)
