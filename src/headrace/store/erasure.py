"""Erasing an ended job: what it was given and what it made goes, that it was stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.errors import JobNotFoundError, TransitionError, UndoUnderWayError
from headrace.model.job import JobState
from headrace.store.sql import SQL

if TYPE_CHECKING:
    from uuid import UUID

    from headrace.store.pool import HeldConnection


async def erase_job(connection: HeldConnection, job: UUID) -> tuple[JobState, list[str]]:
    """Erase input, parameters, metadata, outputs, errors and event bodies of an ended job.

    Events that are still to be sent to others are, without what they were about; its own webhooks
    go.

    Its state, times and transitions stay, and so does its idempotency key. What undid its runs is
    erased with it.

    Returns:
        Its state, and the paths of its artifacts, whose bytes the caller deletes. Where that fails,
        the janitor finds them a day later: nothing refers to them any more.

    Raises:
        JobNotFoundError: There is no such job.
        TransitionError: It is queued or running.
        UndoUnderWayError: What it had done is being undone.
    """
    async with connection.transaction():
        state, paths = await _erase(connection, job)
        for undo in await connection.fetch(SQL["undo.lock_undo_jobs"], job):
            if not JobState(undo["state"]).is_final:
                raise UndoUnderWayError(job, undo["id"])
            paths += (await _erase(connection, undo["id"]))[1]
    return state, paths


async def _erase(connection: HeldConnection, job: UUID) -> tuple[JobState, list[str]]:
    row = await connection.fetchrow(SQL["erasure.lock_ended"], job)
    if row is None:
        raise JobNotFoundError(job)
    state = JobState(row["state"])
    if not state.is_final:
        raise TransitionError(state, "erased")
    if row["erased_at"] is not None:
        return state, []
    await connection.execute(SQL["retention.allow_deletion"])
    await connection.execute(SQL["erasure.erase_job"], job)
    events = await connection.fetch(SQL["erasure.take_events"], job)
    if events:
        columns = [list(column) for column in zip(*events, strict=True)]
        await connection.execute(SQL["erasure.put_events"], job, *columns)
    paths = await connection.fetch(SQL["erasure.artifact_paths"], job)
    return state, [found["path"] for found in paths]
