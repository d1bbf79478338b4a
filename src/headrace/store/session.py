"""One connection of the engine's own: made when it is needed, replaced when it broke."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from headrace.store.failures import is_unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from headrace.store.pool import HeldConnection

# With the planner's own choice, joins of a handful of ids with large tables became hash joins over
# whole tables, and a checkpoint cost 200 us instead of 6.
ENGINE_SETTINGS: Final = {
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "enable_material": "off",
    "plan_cache_mode": "force_generic_plan",
}
"""Settings of a connection that only sends the engine's own statements."""


class Session:
    """A connection that several duties of one process share, one at a time.

    `generation` counts the connections made so far: who finds it changed knows that the database
    was out of sight since the last use.
    """

    def __init__(self, connect: Callable[[], Awaitable[HeldConnection]]) -> None:
        """Nothing is connected before the first use."""
        self._connect = connect
        self._connection: HeldConnection | None = None
        self._turn = asyncio.Lock()
        self.generation = 0

    @contextlib.asynccontextmanager
    async def use(self) -> AsyncIterator[HeldConnection]:
        """Hold the connection inside an `async with` block; others wait for their turn.

        Raises:
            DatabaseUnavailableError: No server answered within 5 s.
        """
        async with self._turn:
            connection = await self._connected()
            try:
                yield connection
            except BaseException as error:
                # Cut off in the middle of a statement, or broken: the next use gets a new one.
                if not isinstance(error, Exception) or is_unavailable(error):
                    self.close()
                raise

    def close(self) -> None:
        """Drop the connection at once; a later use makes another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def _connected(self) -> HeldConnection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._connect()
            self.generation += 1
        return self._connection
