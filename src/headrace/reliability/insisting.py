"""Writes that have to be made: they outlive the step that wanted them, and outages."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

from headrace.errors import DatabaseUnavailableError
from headrace.store.failures import Backoff, is_retryable, is_unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from headrace.reliability.surroundings import Surroundings
    from headrace.store.pool import Connection, Pool

T = TypeVar("T")

CLOSE_WAIT_S: Final = 1.0


class Writes:
    """What a process writes besides what its steps wait for."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._tasks: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Give what is under way a moment, and end it."""
        tasks = set(self._tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_WAIT_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Do something that goes on when its caller is cut off."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def begin(self, work: Coroutine[None, None, None]) -> None:
        """As `start`, for what nobody waits for."""
        self.start(work)  # type: ignore[unused-awaitable]

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # nobody may be left to whom it could be told

    async def use(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Do something on a connection, once.

        Raises:
            DatabaseUnavailableError: No server answered.
        """
        async with self._pool.acquire() as connection:
            return await work(connection)

    async def insist(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Do something that does no harm twice, until a server has answered."""
        backoff = Backoff()
        while True:
            try:
                return await self.use(work)
            except Exception as error:
                if not (
                    isinstance(error, DatabaseUnavailableError)
                    or is_unavailable(error)
                    or is_retryable(error)
                ):
                    raise
            await asyncio.sleep(backoff.next_s())


async def ask_database(around: Surroundings, work: Callable[[Connection], Awaitable[T]]) -> T:
    """Do something that does no harm twice.

    In a step an outage is waited out: where it lasts, the worker stops the step, which uses no
    attempt by that.

    Raises:
        DatabaseUnavailableError: Outside of a worker: no server answered.
    """
    writes = Writes(around.pool)
    return await (writes.use(work) if around.worker is None else writes.insist(work))
