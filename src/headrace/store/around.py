"""What surrounds a job: what its steps wait for, what was sent to it, the jobs that it made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from headrace.model.job import JobState
from headrace.model.status import ChildStatus, SignalStatus, WaitStatus
from headrace.store.sql import SQL

if TYPE_CHECKING:
    from uuid import UUID

    import asyncpg

    from headrace.store.pool import Connection

MOST_TOLD: Final = 100


@dataclass(frozen=True, slots=True)
class Around:
    """What surrounds one run of a job.

    Attributes:
        waits: The first 100 of what its steps wait for, signals and delays before children.
        waits_total: How many there are, counted up to 10,000.
        signals: What was sent to it, or did not come in time, oldest first.
        children: The first 100 jobs that its steps submitted, in any run.
        children_total: How many there are, counted up to 10,000.
    """

    waits: tuple[WaitStatus, ...] = ()
    waits_total: int = 0
    signals: tuple[SignalStatus, ...] = ()
    children: tuple[ChildStatus, ...] = ()
    children_total: int = 0


async def read_around(connection: Connection, job: UUID, run: int) -> Around:
    """Read it, by one statement."""
    rows = await connection.fetch(SQL["waits.read_around"], job, run, MOST_TOLD)
    waits = [row for row in rows if row["part"] == "wait"]
    children = [row for row in rows if row["part"] == "child"]
    return Around(
        tuple(map(_wait, waits)),
        waits[0]["total"] if waits else 0,
        tuple(
            SignalStatus(row["name"], row["kind"], row["at"], row["sent_by"])
            for row in rows
            if row["part"] == "signal"
        ),
        tuple(
            ChildStatus(row["name"], row["pipeline"], JobState(row["state"])) for row in children
        ),
        children[0]["total"] if children else 0,
    )


def _wait(row: asyncpg.Record) -> WaitStatus:
    return WaitStatus(
        row["step"],
        row["item"] or None,
        row["kind"],
        row["name"],
        row["at"],
        row["until"],
        row["pipeline"],
        row["state"] and JobState(row["state"]),
    )
