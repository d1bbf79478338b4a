"""Undo jobs, as those see them who ask for the job that they undo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.model.job import JobState
from headrace.model.undo import SUFFIX
from headrace.store.sql import SQL

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from headrace.store.pool import Connection


@dataclass(frozen=True, slots=True)
class UndoJob:
    """The job that undoes a run.

    Attributes:
        undone: The steps that it has undone, by their stored names; in that order while its
            checkpoints are kept.
    """

    id: UUID
    state: JobState
    undone: Sequence[str]


async def lock_undo_job(connection: Connection, job: UUID, run: int) -> UndoJob | None:
    """What undoes a run of a job, held until the transaction ends; None where nothing does."""
    row = await connection.fetchrow(SQL["undo.lock_undo_job"], job, run)
    if row is None:
        return None
    undone = await connection.fetch(SQL["undo.list_undone"], row["id"], row["run"])
    names = [found["step"].removesuffix(SUFFIX) for found in undone]
    state = JobState(row["state"])
    if state is JobState.COMPLETED and not names:  # its checkpoints go long before the job does
        names = row["undo_steps"]
    return UndoJob(row["id"], state, names)
