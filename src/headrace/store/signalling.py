"""What is sent to jobs: stored behind the lock of the job's row, so that nothing is missed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from headrace.model.fate import Fate
from headrace.model.job import JobState
from headrace.store.sql import SQL

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from headrace.store.pool import Connection


AGAIN: Final = "again"
"""The job moved while the database looked at it."""


class Addressee(NamedTuple):
    """The job to which something is sent."""

    pipeline: str
    version: str
    queue: str
    state: JobState


@dataclass(frozen=True, slots=True)
class Received:
    """A signal of a run.

    Attributes:
        value: Its JSON text; None where none came in time.
    """

    name: str
    value: str | None
    sent_by: str | None
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Wait:
    """What a step waits for.

    Attributes:
        item: The item's key; empty for a step that runs once.
        kind: `signal`, `child` or `delay`.
        name: Of the signal; the id of the child.
        until: When the wait is over at the latest; None for that of a child's end.
    """

    step: str
    item: str
    kind: str
    name: str
    since: datetime
    until: datetime | None


async def find_addressee(connection: Connection, job: UUID) -> Addressee | None:
    """The job to which something is to be sent, None where there is none."""
    row = await connection.fetchrow(SQL["signalling.signal_place"], job)
    if row is None:
        return None
    return Addressee(row["pipeline"], row["version"], row["queue"], JobState(row["state"]))


async def send_signal(
    connection: Connection,
    job: UUID,
    name: str,
    value: str,
    *,
    sender: str | None,
    token: int | None = None,
) -> Fate:
    """Store a value, and wake the job where it waits for it.

    Args:
        connection: Where.
        job: The job.
        name: The signal's.
        value: Its JSON text.
        sender: Kept with it.
        token: Of the claim under which the job's own step sends it.
    """
    fate = AGAIN
    while fate == AGAIN:
        fate = await connection.fetchval(
            SQL["signalling.send_signal"], job, name, value, sender, token
        )
    return Fate(fate)


async def read_signals(connection: Connection, job: UUID, run: int) -> list[Received]:
    """What was sent to a run, oldest first; what did not come in time has no value."""
    rows = await connection.fetch(SQL["signalling.read_signals"], job, run)
    return [Received(row["name"], row["value"], row["sent_by"], row["received_at"]) for row in rows]


async def read_waits(connection: Connection, job: UUID, run: int) -> list[Wait]:
    """What the steps of a run wait for, the longest wait first."""
    rows = await connection.fetch(SQL["signalling.read_waits"], job, run)
    return [Wait(*row) for row in rows]
