"""The engine's clock, moved: for tests alone, in databases that nobody else uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.store.sql import SQL

if TYPE_CHECKING:
    from datetime import timedelta

    from headrace.store.pool import Connection

MOVED: Final = """\
create or replace function headrace.now() returns timestamptz
language sql stable parallel safe
return statement_timestamp() + interval '{seconds:f} s'
"""


async def move_clock(connection: Connection, by: timedelta, *, keep_leases: bool) -> None:
    """Let the engine's clock go `by` ahead of where it is; it goes on from there.

    Args:
        connection: To the test's own database.
        by: How far.
        keep_leases: Whether workers that live have renewed in the time that is skipped.
    """
    async with connection.transaction():
        if keep_leases:
            await connection.execute(SQL["testing.lock_leases"])
        offset = await connection.fetchval(SQL["testing.clock_offset"])
        await connection.execute(MOVED.format(seconds=(offset + by).total_seconds()))
        if keep_leases:
            await connection.execute(SQL["testing.shift_leases"], by)
