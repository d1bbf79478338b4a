"""What operators and users do to jobs, queues and workers: guarded, audited, rung for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from headrace.errors import JobNotFoundError, TransitionError, UndoJobError
from headrace.model.job import JobState
from headrace.store.gates import settle_gates
from headrace.store.sql import SQL
from headrace.store.undo import lock_undo_job

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import timedelta
    from uuid import UUID

    import asyncpg

    from headrace.store.pool import Connection
    from headrace.store.undo import UndoJob

SUSPECT: Final = 2
PLACE_TRIES: Final = 100
"""A job can be claimed and put back between our look and our write; nobody does so for ever."""


@dataclass(frozen=True, slots=True)
class Ended:
    """An ended job that is about to get another run."""

    id: UUID
    state: JobState
    run: int
    queue: str
    pipeline: str
    version: str
    undo_of: UUID | None
    """The job that it undoes, for an undo job."""
    undo: UndoJob | None
    """What undoes the run that ended; None where nothing does."""


class GivenOutput(NamedTuple):
    """An output that a step did not make."""

    step: str
    position: int
    text: str
    """As JSON."""


@dataclass(frozen=True, slots=True)
class NewRun:
    """What a new run takes over from the one before it."""

    again: Sequence[str] | None
    """The steps whose outputs it does not take over; None for all."""
    given: Sequence[GivenOutput] = ()
    """Outputs in place of those of these steps, which are among `again`."""
    uses: Sequence[tuple[str, str]] = ()
    """Steps whose items may fail, each with one that needs it: where the new run takes over an
    output of that one, the items that failed do not run again."""
    asks: Sequence[str] = ()
    """The signals that it does not take over: whoever takes them runs again."""


async def cancel_job(connection: Connection, job: UUID, *, by: str, reason: str | None) -> JobState:
    """Cancel a queued job at once, or ask the worker of a running one to.

    Returns:
        The job's state: `cancelled`, or `running` while its worker ends it.

    Raises:
        JobNotFoundError: There is no such job.
        TransitionError: It has completed or failed.
        UndoJobError: It undoes another one.
    """
    for _ in range(PLACE_TRIES):
        place = await connection.fetchrow(SQL["operations.job_place"], job)
        if place is None:
            raise JobNotFoundError(job)
        state = JobState(place["state"])
        if state is JobState.CANCELLED:
            return state
        if state.is_final:
            raise TransitionError(state, "cancelled")
        if place["undo_of"] is not None:
            raise UndoJobError(job, place["undo_of"])
        if state is JobState.RUNNING:
            if await connection.fetch(SQL["operations.request_cancel"], job, by, reason):
                return state
        elif await _cancel_queued(connection, job, place, by, reason):
            if not connection.is_in_transaction():  # else whoever began it settles
                await settle_gates(connection, [job])
            return JobState.CANCELLED
    raise TransitionError(state, "cancelled")


async def _cancel_queued(
    connection: Connection, job: UUID, place: asyncpg.Record, by: str, reason: str | None
) -> bool:
    async with connection.transaction():
        if not await take_queued(connection, place):
            return False
        await connection.fetch(SQL["operations.cancel_queued"], job, by, reason)
        return True


async def take_queued(connection: Connection, place: asyncpg.Record) -> bool:
    """Remove the queue's row of a job: whoever removes it decides what becomes of the job.

    Args:
        connection: In the transaction that decides.
        place: The job's `operations.job_place`.
    """
    taken = await connection.fetch(
        SQL["operations.take_queued"],
        place["id"],
        place["lane"],
        place["suspicion"] == SUSPECT,
        place["rank"],
        place["due_at"],
        place["tenant"],
    )
    return bool(taken)


async def reopen_job(
    connection: Connection,
    job: UUID,
    *,
    allowed: frozenset[JobState],
    again: Callable[[Ended, Mapping[str, Any] | None], NewRun],
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
        again: Says how the new run begins; told what ended, and the definition that was registered
            for its version.
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
        ended = await _lock_ended(connection, job, allowed, word)
        text = await connection.fetchval(
            SQL["reads.read_definition"], ended.pipeline, ended.version
        )
        plan = again(ended, None if text is None else orjson.loads(text))
        await _take_over(connection, ended, plan)
        opened = await connection.fetchrow(
            SQL["operations.reopen_job"],
            job,
            actor,
            word,
            _with_undo(metadata, ended.undo),
            head_start,
        )
        if opened is None:
            raise TransitionError(ended.state, word)
        return ended, opened["run"]


async def _lock_ended(
    connection: Connection, job: UUID, allowed: frozenset[JobState], word: str
) -> Ended:
    row = await connection.fetchrow(SQL["operations.lock_job"], job)
    if row is None:
        raise JobNotFoundError(job)
    if row["erased_at"] is not None:
        raise TransitionError("erased", word)
    state = JobState(row["state"])
    if state not in allowed:
        raise TransitionError(state, word)
    return Ended(
        job,
        state,
        row["run"],
        row["queue"],
        row["pipeline"],
        row["version"],
        row["undo_of"],
        await lock_undo_job(connection, job, row["run"]),
    )


def _with_undo(metadata: str | None, undo: UndoJob | None) -> str | None:
    """What is kept of a new run, with what was undone of the one before it."""
    if undo is None:
        return metadata
    known = {} if metadata is None else orjson.loads(metadata)
    return orjson.dumps({**known, "undo_job": str(undo.id), "undone": list(undo.undone)}).decode()


async def _take_over(connection: Connection, ended: Ended, plan: NewRun) -> None:
    names = None if plan.again is None else list(plan.again)
    await connection.execute(SQL["operations.reuse_steps"], ended.id, ended.run, names)
    await connection.execute(SQL["operations.reuse_records"], ended.id, ended.run, names)
    if names is not None:
        await connection.execute(
            SQL["operations.reuse_signals"], ended.id, ended.run, list(plan.asks)
        )
    if plan.given:
        columns = zip(*plan.given, strict=True)
        await connection.execute(
            SQL["operations.give_outputs"], ended.id, ended.run + 1, *map(list, columns)
        )
    if plan.uses:
        await connection.execute(
            SQL["operations.reuse_failed_items"],
            ended.id,
            ended.run,
            [step for step, _ in plan.uses],
            [needing for _, needing in plan.uses],
        )


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
