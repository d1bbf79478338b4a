"""A database whose clock stands still, and is set by the test."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from headrace.store.pool import connect

if TYPE_CHECKING:
    from headrace.store.pool import HeldConnection

NOON: Final = datetime(2027, 3, 4, 12, tzinfo=UTC)
STANDING: Final = """\
create or replace function headrace.now() returns timestamptz
language sql stable parallel safe
return '{at}'::timestamptz
"""


class StillClock:
    """The clock of one database; `seconds` is how far it is from its beginning."""

    def __init__(self, connection: HeldConnection, begin: datetime = NOON) -> None:
        self.connection, self._begin = connection, begin
        self.seconds = 0.0

    @classmethod
    async def open(cls, database: str, begin: datetime = NOON) -> StillClock:
        """Stop the clock of a database."""
        clock = cls(await connect(database), begin)
        await clock.set(0.0)
        return clock

    async def set(self, seconds: float) -> None:
        """Let it be so long after its beginning."""
        self.seconds = seconds
        at = self._begin + timedelta(seconds=seconds)
        await self.connection.execute(STANDING.format(at=at.isoformat()))
