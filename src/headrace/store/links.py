"""What became of what a link asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.model.job import JobState
from headrace.store.sql import SQL

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from headrace.store.pool import Connection


@dataclass(frozen=True, slots=True)
class LinkPlace:
    """A job and its signal, as they are now.

    Attributes:
        run: The present run.
        received_at: When a value was stored, or found not to have come in time; None while the
            signal is open.
        expired: Whether it did not come in time.
        begun_anew: Whether the job was begun again since in another way than from where it
            stopped.
    """

    pipeline: str
    run: int
    state: JobState
    received_at: datetime | None
    expired: bool
    begun_anew: bool


async def read_link_place(
    connection: Connection, job: UUID, signal: str, run: int
) -> LinkPlace | None:
    """What became of a job and a signal since a link was made; None if the job is gone or erased.

    Args:
        connection: Where.
        job: The job.
        signal: The signal's name.
        run: The run for which the link was made.
    """
    row = await connection.fetchrow(SQL["links.read_link_place"], job, signal, run)
    if row is None:
        return None
    return LinkPlace(
        pipeline=row["pipeline"],
        run=row["run"],
        state=JobState(row["state"]),
        received_at=row["received_at"],
        expired=bool(row["expired"]),
        begun_anew=row["begun_anew"],
    )


async def read_run(connection: Connection, job: UUID) -> tuple[int, str] | None:
    """The present run of a job and the name of its pipeline; None if there is no such job."""
    row = await connection.fetchrow(SQL["links.read_run"], job)
    return None if row is None else (row["run"], row["pipeline"])
