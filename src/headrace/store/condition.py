"""What tells whether a database and the jobs in it are well, for `headrace doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.store.sql import SQL

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from uuid import UUID

    from headrace.store.pool import Connection


@dataclass(frozen=True, slots=True)
class Server:
    """A server as it describes itself."""

    version: str
    version_number: int
    """As 180001 for 18.1."""
    connections: int
    """The most that are not reserved for superusers."""
    connected: int
    """Sessions of clients that are open now."""
    process: int
    """The server's process behind the session that asked."""
    at: datetime
    """The server's clock, when it answered."""


@dataclass(frozen=True, slots=True)
class StuckJob:
    """A job that has been running for suspiciously long."""

    id: UUID
    pipeline: str
    worker: int
    claimed_at: datetime


async def describe_server(connection: Connection) -> Server:
    """What the server says of itself."""
    row = await connection.fetchrow(SQL["doctor.server"])
    if row is None:
        raise AssertionError("a select without a table gives one row")
    return Server(*row)


async def stuck_jobs(connection: Connection, *, age: timedelta, limit: int = 10) -> list[StuckJob]:
    """Jobs that have been running under one claim for longer than `age`, the longest first."""
    rows = await connection.fetch(SQL["doctor.stuck_jobs"], age, limit)
    return [StuckJob(*row) for row in rows]


async def count_failed_tries(
    connection: Connection, *, within: timedelta, submitted_within: timedelta
) -> int:
    """How many tries of steps failed lately, of jobs that were submitted lately."""
    return int(await connection.fetchval(SQL["doctor.failed_tries"], within, submitted_within) or 0)


async def count_webhooks(connection: Connection) -> tuple[int, int]:
    """How many webhooks are told, and how many of tenants are disabled."""
    (row,) = await connection.fetch(SQL["doctor.webhooks"])
    return row[0], row[1]
