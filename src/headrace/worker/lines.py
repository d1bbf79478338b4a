"""The two connections of a worker's presence: one at work, one in reserve.

The first one bears the worker's lock. When it breaks, a heartbeat goes out on the second at once,
also when the server has no connection left to give; it then takes the lock, and a new reserve is
made.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import asyncpg

from headrace.store.workers import session_process
from headrace.telemetry.events import emit
from headrace.telemetry.worker_events import PresenceLost, PresenceUnavailable
from headrace.worker.service import Service

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from headrace.store.pool import HeldConnection
    from headrace.worker.timing import Timing

COUNT: Final = 2
CLOSE_S: Final = 1.0


@dataclass(slots=True, eq=False)
class Line:
    """A connection, and what its session does for the worker."""

    connection: HeldConnection
    has_lock: bool = False
    listens: bool = False


class Lines(Service):
    """Keeps two connections open."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[HeldConnection]],
        *,
        on_change: Callable[[], None],
        on_failure: Callable[[Exception], None],
        worker_id: str,
        timing: Timing,
    ) -> None:
        """Nothing is connected before `start`.

        Args:
            connect: Opens a connection.
            on_change: Called when there is a new first line.
            on_failure: Called with each error of a connection that could not be made.
            worker_id: The worker whose lines they are, for the events.
            timing: The waits between tries.
        """
        super().__init__("presence connections", worker_id=worker_id, timing=timing)
        self._connect, self._on_change, self._on_failure = connect, on_change, on_failure
        self._lines: list[Line] = []
        self._retired: list[Line] = []
        self._missing = asyncio.Event()
        self.is_direct = True
        """Whether a session is one server process: false behind a transaction pooler."""

    @property
    def first(self) -> Line | None:
        """The line to use; None while there is none."""
        return self._lines[0] if self._lines else None

    async def run(self) -> None:
        """Replace every line that goes."""
        while True:
            self._missing.clear()
            while len(self._lines) < COUNT:
                await self._add()
            self.worked()
            await self._missing.wait()

    def failed(self, error: Exception) -> None:
        """Pass on why no connection could be made."""
        self._on_failure(error)

    def retire(self, line: Line, error: BaseException | None = None) -> None:
        """Use this line no more.

        A lock that it may still hold stays held until `drop_retired`: it may be freed only after
        a heartbeat elsewhere said that a free lock means nothing.
        """
        if line not in self._lines:
            return
        self._lines.remove(line)
        if line.has_lock:
            emit(PresenceLost(worker_id=self.worker_id, error=str(error or "connection closed")))
        if line.has_lock and not line.connection.is_closed():
            self._retired.append(line)
        else:
            line.connection.terminate()
        self._missing.set()
        self._on_change()

    def drop_retired(self) -> None:
        """Close what was retired, after a good heartbeat on another line."""
        for line in self._retired:
            line.connection.terminate()
        self._retired.clear()

    async def close(self) -> None:
        """Close all lines; the server frees the lock."""
        self.drop_retired()
        lines, self._lines = self._lines, []
        for line in lines:
            try:
                await line.connection.close(timeout=CLOSE_S)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                line.connection.terminate()

    async def _add(self) -> None:
        connection = await self._connect()
        try:
            await self._check_directness(connection)
        except BaseException:
            connection.terminate()
            raise
        line = Line(connection)
        connection.add_termination_listener(lambda _connection: self.retire(line))
        self._lines.append(line)
        if self.first is line:
            self._on_change()

    async def _check_directness(self, connection: HeldConnection) -> None:
        # A pooler answers for the session with a process number of its own.
        if self.is_direct and connection.get_server_pid() != await session_process(connection):
            self.is_direct = False
            emit(
                PresenceUnavailable(
                    worker_id=self.worker_id,
                    reason="a pooler stands before the database; set HEADRACE_DIRECT_DATABASE_URL",
                )
            )
