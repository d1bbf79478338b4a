"""A few connections that many short uses share, handed out without a pool's price.

The driver's pool makes a statement of 45 us cost 218 us, and 119 us without its reset. Here taking
and giving back is a list's pop and append: last in, first out, so that few stay warm.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Final

import asyncpg

from headrace.errors import DatabaseUnavailableError
from headrace.store.failures import is_unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from headrace.store.pool import HeldConnection

CLOSE_TIMEOUT_S: Final = 5.0


class Connections:
    """Up to `most` connections, made when they are needed and kept until `close`."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[HeldConnection]],
        *,
        most: Callable[[], int] = lambda: 15,
        wait_s: float = 30.0,
    ) -> None:
        """Nothing is connected before the first use.

        Args:
            connect: Opens one.
            most: Gives the most connections, 1 or more; asked when one is needed.
            wait_s: Seconds to wait for one that is free.
        """
        self._connect, self._most, self._wait_s = connect, most, wait_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._idle: list[HeldConnection] = []
        self._waiting: deque[asyncio.Future[HeldConnection | None]] = deque()
        self._count = 0
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @property
    def usage(self) -> tuple[int, int, int]:
        """Connections in use, open ones, and the most that there may be."""
        return self._count - len(self._idle), self._count, self._most()

    def apart(self, most: int) -> Connections:
        """Others to the same database, which nobody else can use up."""
        return Connections(self._connect, most=lambda: most, wait_s=self._wait_s)

    async def take(self, *, wait_s: float | None = None) -> HeldConnection:
        """A connection; it must be given back by `give` or `drop`.

        Args:
            wait_s: Seconds to wait for one that is free, in place of the usual ones.

        Raises:
            DatabaseUnavailableError: No server answered, none came free in time, or all is closed.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._start_over(loop)
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
            self._count -= 1
        if self._closed:
            raise DatabaseUnavailableError("the connections are closed")
        if self._count >= self._most():
            wait_s = self._wait_s if wait_s is None else wait_s
            return await self._wait_for_one(wait_s) or await self.take(wait_s=wait_s)
        self._count += 1
        try:
            return await self._connect()
        except BaseException:
            self._lost_one()
            raise

    def give(self, connection: HeldConnection) -> None:
        """Take a connection back; one that broke, or is left in a transaction, is dropped."""
        if self._closed or connection.is_closed() or connection.is_in_transaction():
            self.drop(connection)
            return
        waiter = self._next_waiter()
        if waiter is None:
            self._idle.append(connection)
        else:
            waiter.set_result(connection)

    def drop(self, connection: HeldConnection) -> None:
        """Close a connection at once: nobody knows what state it is in."""
        connection.terminate()
        self._lost_one()

    def give_after(self, connection: HeldConnection, error: BaseException) -> None:
        """Take a connection back from a use that failed."""
        # Cut off in the middle of a statement, or broken: what it would answer next is unknown.
        if isinstance(error, Exception) and not is_unavailable(error):
            self.give(connection)
        else:
            self.drop(connection)

    @contextlib.asynccontextmanager
    async def use(self, *, wait_s: float | None = None) -> AsyncIterator[HeldConnection]:
        """Hold a connection inside an `async with` block.

        Args:
            wait_s: As for `take`.

        Raises:
            DatabaseUnavailableError: As `take`, or the database went away in the block.
        """
        connection = await self.take(wait_s=wait_s)
        try:
            yield connection
        except BaseException as error:
            self.give_after(connection, error)
            if isinstance(error, Exception) and is_unavailable(error):
                raise DatabaseUnavailableError(
                    f"the database is not available: {error!r}"
                ) from error
            raise
        self.give(connection)

    async def close(self) -> None:
        """Close all connections; those in use are closed when they are given back."""
        self._closed = True
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._start_over(loop)
        idle, self._idle = self._idle, []
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)
        self._waiting.clear()
        for connection in idle:
            with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await connection.close(timeout=CLOSE_TIMEOUT_S)
        self._count -= len(idle)

    def reopen(self) -> None:
        """Allow uses again after `close`."""
        self._closed = False

    def _start_over(self, loop: asyncio.AbstractEventLoop) -> None:
        """Forget what belonged to another event loop, as of an `asyncio.run` before this one."""
        for connection in self._idle:
            with contextlib.suppress(RuntimeError):
                connection.terminate()
        self._idle.clear()
        self._waiting.clear()
        self._count = 0
        self._loop = loop

    async def _wait_for_one(self, wait_s: float) -> HeldConnection | None:
        waiter: asyncio.Future[HeldConnection | None]
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(wait_s):
                return await waiter
        except TimeoutError as error:
            raise DatabaseUnavailableError(
                f"all {self._most()} connections were in use for {wait_s:g} s"
            ) from error
        except asyncio.CancelledError:
            # It may have been handed over in the same moment: the next one gets it.
            if waiter.done() and not waiter.cancelled():
                handed = waiter.result()
                if handed is not None:
                    self.give(handed)
            raise

    def _lost_one(self) -> None:
        self._count -= 1
        waiter = self._next_waiter()
        if waiter is not None:
            waiter.set_result(None)

    def _next_waiter(self) -> asyncio.Future[HeldConnection | None] | None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                return waiter
        return None
