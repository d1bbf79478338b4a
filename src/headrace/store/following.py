"""Reading what happens to jobs, for many readers in one statement."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple

from headrace.store.sql import SQL

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    import asyncpg

    from headrace.store.pool import Connection

PLACE: Final = r"^([0-9]{1,9}(\.[0-9]{1,9}(\.[0-9]{1,18})?)?)?$"
"""What the text of a place looks like."""


class Place(NamedTuple):
    """How far a reader has come with a job; its text is the id of an event."""

    seq: int = 0
    """The last transition that is known; 0 before the first."""
    part: int = 0
    """How much is known of what steps and signals left behind after it."""
    progress_us: int = 0
    """When the last progress that is known was noted, in microseconds of Unix time."""

    @classmethod
    def parse(cls, text: str) -> Place:
        """The inverse of `str`; nothing at all is the beginning.

        Raises:
            ValueError: It is no place.
        """
        if re.fullmatch(PLACE, text) is None:
            raise ValueError(f"{text[:60]!r} is no place in the history of a job")
        return cls(*map(int, text.split("."))) if text else cls()

    def __str__(self) -> str:
        parts = [self.seq, self.part, self.progress_us]
        while len(parts) > 1 and not parts[-1]:
            del parts[-1]
        return ".".join(map(str, parts))

    def after(self, row: asyncpg.Record) -> Place:
        """The place behind a row of `read_next`."""
        if row["kind"] == "state":
            return Place(row["seq"])
        if row["kind"] == "progress":
            noted = row["at"]
            return self._replace(progress_us=int(noted.timestamp()) * 10**6 + noted.microsecond)
        return Place(row["seq"], row["part"], self.progress_us)


@dataclass(slots=True, eq=False)
class Follower:
    """Somebody who reads about a job. Of somebody else's job nothing is found."""

    job: UUID
    tenant: str
    owner: str | None
    """None: whoever of the tenant it belongs to."""
    place: Place


async def read_next(
    connection: Connection, followers: Sequence[Follower], *, most: int
) -> dict[int, list[asyncpg.Record]]:
    """What happened after the followers' places.

    Args:
        connection: Where to read.
        followers: Up to a few hundred.
        most: Most rows for each of them, 1 or more; who gets as many may find more.

    Returns:
        The rows of those that have any, by their place among the followers; `Place.after` is where
        the next begin.
    """
    places = [follower.place for follower in followers]
    rows = await connection.fetch(
        SQL["following.read_next"],
        [follower.job for follower in followers],
        [follower.tenant for follower in followers],
        [follower.owner for follower in followers],
        [place.seq for place in places],
        [place.part for place in places],
        [place.progress_us for place in places],
        most,
    )
    return {number - 1: list(found) for number, found in groupby(rows, itemgetter("number"))}


class End(NamedTuple):
    """Where the history of a job ends so far."""

    seq: int
    has_ended: bool

    def is_known(self, place: Place) -> bool:
        """Whether the job has ended, and whoever is at this place knows all of it."""
        return self.has_ended and place.seq == self.seq and place.part > 0


async def read_end(connection: Connection, job: UUID) -> End | None:
    """Where the history of a job ends so far; None where there is no such job."""
    row = await connection.fetchrow(SQL["following.read_end"], job)
    return None if row is None else End(*row)


async def measure_result(
    connection: Connection, job: UUID, run: int, steps: Sequence[str]
) -> int | None:
    """How large a result is, in bytes of JSON; None where it is no part of the database.

    Args:
        connection: Where to read.
        job: The job.
        run: Its run.
        steps: The names of the step whose output it is.
    """
    size: int | None = await connection.fetchval(
        SQL["following.measure_result"], job, run, list(steps)
    )
    return size
