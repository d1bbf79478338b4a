"""The doorbell of PostgreSQL: NOTIFY, coalesced.

At most one ring for a queue is in flight in a process. A notification makes its transaction take a
lock of the whole cluster when it commits, so a hundred jobs that are submitted at the same time
shall not send a hundred of them. The first goes at once, inside the insert itself; all that are
committed while it is under way share one that follows.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import asyncpg

from headrace.errors import DatabaseUnavailableError
from headrace.store.sql import SQL

if TYPE_CHECKING:
    from headrace.store.connections import Connections

CLOSE_TIMEOUT_S: Final = 5.0


class PostgresBroker:
    """Rings by NOTIFY on the channel `headrace_jobs`; the payload is the queue.

    Workers listen on a connection of their own (see `headrace.worker`).
    """

    def __init__(self, connections: Connections) -> None:
        """Nothing is connected before the first ring that no insert carries."""
        self._connections = connections
        self._in_flight: set[str] = set()
        self._due: set[str] = set()
        self._ringer: asyncio.Task[None] | None = None

    def carry(self, queue: str) -> bool:
        """As `Broker.carry`: yes, unless a ring for this queue is in flight."""
        if queue in self._in_flight:
            return False
        self._in_flight.add(queue)
        return True

    def settle(self, queue: str, *, carried: bool) -> None:
        """As `Broker.settle`."""
        if carried:
            self._in_flight.discard(queue)
        else:
            self._due.add(queue)
        if queue in self._due:
            self._start()

    def ring(self, queue: str, jobs: int = 1) -> None:  # noqa: ARG002 - one wakes all workers
        """As `Broker.ring`: after the one in flight, if there is one."""
        self._due.add(queue)
        self._start()

    def echo(self, queue: str, jobs: int = 1) -> None:
        """As `Broker.echo`: the notification was the ring."""

    async def close(self) -> None:
        """As `Broker.close`; what is not sent after 5 s is given up: idle workers poll."""
        ringer = self._ringer
        if ringer is not None:
            await asyncio.wait([ringer], timeout=CLOSE_TIMEOUT_S)
            ringer.cancel()
            await asyncio.gather(ringer, return_exceptions=True)

    def _start(self) -> None:
        if self._ringer is None or self._ringer.done():
            self._ringer = asyncio.create_task(self._ring_all(), name="headrace ringer")

    async def _ring_all(self) -> None:
        """Ring for every queue that is due, one after the other, until none is."""
        while ready := self._due - self._in_flight:
            queue = ready.pop()
            # Taken off before it is sent: what is committed meanwhile puts it back.
            self._due.discard(queue)
            self._in_flight.add(queue)
            try:
                async with self._connections.use() as connection:
                    await connection.execute(SQL["submit.ring"], queue)
            except (DatabaseUnavailableError, asyncpg.PostgresError):
                pass  # a ring is only a hint: the jobs are stored, and idle workers poll
            finally:
                self._in_flight.discard(queue)
