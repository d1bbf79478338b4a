"""What operators and users do to jobs, queues and workers: guarded, audited, rung for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from headrace.errors import JobNotFoundError, TransitionError
from headrace.model.job import JobState
from headrace.store.sql import SQL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import timedelta
    from uuid import UUID

    import asyncpg

    from headrace.store.pool import Connection

SUSPECT: Final = 2
CANCEL_TRIES: Final = 100
"""A job can be claimed and put back between our look and our write; nobody does so for ever."""


@dataclass(frozen=True, slots=True)
class Ended:
    """An ended job that is about to get another run."""

    id: UUID
    state: JobState
    run: int
    pipeline: str
    version: str


async def cancel_job(connection: Connection, job: UUID, *, by: str, reason: str | None) -> JobState:
    """Cancel a queued job at once, or ask the worker of a running one to.

    Returns:
        The job's state: `cancelled`, or `running` while its worker ends it.

    Raises:
        JobNotFoundError: There is no such job.
        TransitionError: It has completed or failed.
    """
    for _ in range(CANCEL_TRIES):
        place = await connection.fetchrow(SQL["operations.job_place"], job)
        if place is None:
            raise JobNotFoundError(job)
        state = JobState(place["state"])
        if state is JobState.CANCELLED:
            return state
        if state.is_final:
            raise TransitionError(state, "cancelled")
        if state is JobState.RUNNING:
            if await connection.fetch(SQL["operations.request_cancel"], job, by, reason):
                return state
        elif await _cancel_queued(connection, job, place, by, reason):
            return JobState.CANCELLED
    raise TransitionError(state, "cancelled")


async def _cancel_queued(
    connection: Connection, job: UUID, place: asyncpg.Record, by: str, reason: str | None
) -> bool:
    # The queue's row first: whoever removes it decides what becomes of the job.
    async with connection.transaction():
        taken = await connection.fetch(
            SQL["operations.take_queued"],
            job,
            place["lane"],
            place["suspicion"] == SUSPECT,
            place["rank"],
            place["due_at"],
        )
        if not taken:
            return False
        await connection.fetch(SQL["operations.cancel_queued"], job, by, reason)
        return True


async def reopen_job(
    connection: Connection,
    job: UUID,
    *,
    allowed: frozenset[JobState],
    again: Callable[[Ended, Mapping[str, Any] | None], Sequence[str] | None],
    actor: str,
    word: str,
    metadata: str | None,
    head_start: timedelta,
) -> tuple[Ended, int]:
    """Open the next run of an ended job, and ring.

    Args:
        connection: Where.
        job: The job.
        allowed: The states from which this call may.
        again: Names the steps whose outputs the new run does not take over, None for all; told
            what ended, and the definition that was registered for its version.
        actor: Who does it.
        word: What it is called in the history.
        metadata: JSON to be kept with it.
        head_start: By which a point of priority moves the job forward in its queue.

    Returns:
        What had ended, and the number of the new run.

    Raises:
        JobNotFoundError: There is no such job.
        TransitionError: It is in another state.
    """
    async with connection.transaction():
        row = await connection.fetchrow(SQL["operations.lock_job"], job)
        if row is None:
            raise JobNotFoundError(job)
        ended = Ended(job, JobState(row["state"]), row["run"], row["pipeline"], row["version"])
        if row["erased_at"] is not None:
            raise TransitionError("erased", word)
        if ended.state not in allowed:
            raise TransitionError(ended.state, word)
        text = await connection.fetchval(
            SQL["reads.read_definition"], ended.pipeline, ended.version
        )
        steps = again(ended, None if text is None else orjson.loads(text))
        names = None if steps is None else list(steps)
        await connection.execute(SQL["operations.reuse_steps"], job, ended.run, names)
        await connection.execute(SQL["operations.reuse_records"], job, ended.run, names)
        opened = await connection.fetchrow(
            SQL["operations.reopen_job"], job, actor, word, metadata, head_start
        )
        if opened is None:
            raise TransitionError(ended.state, word)
        return ended, opened["run"]


async def pause_queue(connection: Connection, queue: str, *, by: str, reason: str | None) -> None:
    """Close a queue; one that is closed gets the new reason."""
    await connection.fetch(SQL["operations.pause_queue"], queue, by, reason)


async def resume_queue(connection: Connection, queue: str) -> bool:
    """Open a queue and ring; False where it was open."""
    return bool(await connection.fetch(SQL["operations.resume_queue"], queue))


async def drain_workers(connection: Connection, workers: Sequence[int] | None) -> list[int]:
    """Ask workers, or all, to end; the numbers of those that will."""
    rows = await connection.fetch(
        SQL["workers.drain_workers"], None if workers is None else list(workers)
    )
    return [row["id"] for row in rows]
