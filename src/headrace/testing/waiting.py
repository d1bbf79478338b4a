"""Waiting until nothing is left to do, and saying what still is when the time is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.store.sql import SQL

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import timedelta

    import asyncpg

    from headrace.store.pool import Connection

SHOWN: Final = 10
"""Jobs that are named when the time is over."""


class NotEmptyError(TimeoutError):
    """The time was over, and there was still something to do; the text says what."""


class Unfinished:
    """What is left to do at one moment; false when there is nothing."""

    def __init__(self, rows: list[asyncpg.Record], carried: Collection[str]) -> None:
        self._rows, self._carried = rows, carried

    def __bool__(self) -> bool:
        return bool(self._rows)

    @property
    def skippable(self) -> timedelta | None:
        """How long nothing will happen by itself; None while something runs or is due."""
        if not self._rows or not self._rows[0]["only_queued"]:
            return None
        wait: timedelta | None = self._rows[0]["next"]
        return wait if wait is not None and wait.total_seconds() > 0 else None

    def describe(self) -> str:
        """A line for each job."""
        lines = [self._line(row) for row in self._rows]
        more = self._rows[0]["total"] - len(lines)
        return "\n".join([*lines, *([f"  and {more} more"] if more > 0 else [])])

    def _line(self, row: asyncpg.Record) -> str:
        error = f"; last error: {row['error']}" if row["error"] else ""
        return f"  {row['pipeline']} {row['id']} {self._state(row)}{error}"

    def _state(self, row: asyncpg.Record) -> str:
        if row["state"] == "running":
            steps = f" step {row['steps']}" if row["steps"] else ""
            return f"is running{steps}"
        if row["pipeline"] not in self._carried:
            return "is queued, and this engine has no such pipeline"
        if row["paused"]:
            return f"is queued, and queue {row['queue']!r} is paused"
        if row["wait_reason"] == "unclaimable":
            return "waits for code that can read its outputs"
        return _waits(row)


def _waits(row: asyncpg.Record) -> str:
    if row["wait_s"] > 0 and row["wait_reason"] == "external":
        return f"waits for a signal ({row['signals']}), for at most {row['wait_s']:.1f} s"
    if row["wait_s"] > 0:
        return f"waits for another {row['wait_s']:.1f} s ({row['wait_reason']})"
    if row["blocked"]:
        return "waits for other jobs of its key or tenant"
    return f"is due in queue {row['queue']!r} ({row['wait_reason']})"


async def unfinished(
    connection: Connection, carried: Collection[str], *, with_timeouts: bool
) -> Unfinished:
    """What is left to do now.

    Args:
        connection: Where.
        carried: The pipelines of the engine that asks, by name.
        with_timeouts: Whether that counts, too, which waits for a signal that does not come.
    """
    rows = await connection.fetch(SQL["testing.unfinished_jobs"], SHOWN, with_timeouts)
    return Unfinished(rows, carried)
