"""Storing jobs once, whatever happens to the connection, and ringing for them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

import asyncpg

from headrace.errors import DatabaseUnavailableError
from headrace.store.failures import Backoff, is_retryable, is_unavailable
from headrace.store.jobs import count_stored
from headrace.telemetry.events import emit
from headrace.telemetry.store_events import CommitUnknown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from typing import TypeAlias

    from uuid_utils import UUID

    from headrace.broker.broker import Broker
    from headrace.store.connections import Connections
    from headrace.store.pool import HeldConnection

T = TypeVar("T")

Write: TypeAlias = "Callable[[HeldConnection, bool], Awaitable[T]]"
"""Stores jobs on a connection; told whether its transaction is to carry the ring."""

CONFLICT_PAUSES_S: Final = (0.01, 0.05, 0.2, 0.5, None)
"""Before a write that lost to another transaction is repeated; its ids make that harmless."""
RESOLVE_S: Final = 10.0
"""For so long it is tried to find out what became of jobs whose commit got no reply."""


class Storing:
    """Runs the writes of submissions on connections of its own."""

    def __init__(self, connections: Connections, broker: Broker) -> None:
        """Nothing is connected before the first write."""
        self._connections, self.broker = connections, broker

    def apart(self, most: int) -> Storing:
        """The same on connections of its own, which other uses cannot hold up; `close` it."""
        return Storing(self._connections.apart(most), self.broker)

    async def close(self) -> None:
        """Close the connections; for what `apart` gave."""
        await self._connections.close()

    async def store(
        self, queue: str, ids: Sequence[UUID], write: Write[T], *, jobs: int = 1
    ) -> T | None:
        """Run `write`, which stores the jobs `ids` in one transaction, and ring for `queue`.

        If its reply is lost, the jobs are looked for, and stored if they are not there.

        Args:
            queue: Of the jobs.
            ids: The jobs' own, to look for; empty where `write` finds them by itself.
            write: Stores them.
            jobs: How many there are, where the ids do not tell.

        Returns:
            What `write` returned; None where the jobs were found after a lost reply.

        Raises:
            DatabaseUnavailableError: No server answered. After a lost reply this is raised only
                when the server did not come back within 10 s; the text says so, and the jobs may
                be stored then.
        """
        carried = self.broker.carry(queue)
        try:
            written, certain = await self._try(ids, write, carried=carried)
        finally:
            if carried:
                self.broker.settle(queue, carried=True)
        if not (carried and certain):
            self.broker.ring(queue, len(ids) or jobs)
        return written

    async def _try(
        self, ids: Sequence[UUID], write: Write[T], *, carried: bool
    ) -> tuple[T | None, bool]:
        """What `write` returned, and whether it was told so by the server itself."""
        for pause_s in CONFLICT_PAUSES_S:
            connection = await self._connections.take()
            try:
                written = await write(connection, carried)
            except BaseException as error:
                self._connections.give_after(connection, error)
                if not isinstance(error, Exception):
                    raise
                if is_unavailable(error):
                    return await self._resolve(ids, write), False
                if not is_retryable(error) or pause_s is None:
                    raise
                await asyncio.sleep(pause_s)
            else:
                self._connections.give(connection)
                return written, True
        raise AssertionError("the last pause ends the loop")

    async def _resolve(self, ids: Sequence[UUID], write: Write[T]) -> T | None:
        backoff = Backoff()
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + RESOLVE_S
        while True:
            try:
                async with self._connections.use() as connection:
                    found = await count_stored(connection, ids)
                    emit(CommitUnknown(records=len(ids), found=found))
                    if found:
                        return None
                    return await write(connection, False)  # noqa: FBT003 - rung for afterwards
            except (DatabaseUnavailableError, asyncpg.UniqueViolationError) as error:
                # A unique violation: the server was still committing when we looked.
                if loop.time() > give_up_at:
                    raise DatabaseUnavailableError(
                        f"the database is not available, and the jobs may be stored: {error}"
                    ) from error
            await asyncio.sleep(backoff.next_s())
