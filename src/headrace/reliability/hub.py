"""Wakes those of a process who wait for a change that another process commits.

One connection listens for all of them. It is opened when the first one waits, and replaced when it
breaks. What it says is a hint: whoever waits looks for himself, and has a time at which he looks
without one.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, TypeAlias

import asyncpg

from headrace.errors import DatabaseUnavailableError
from headrace.store.failures import Backoff
from headrace.store.workers import session_process

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from headrace.store.pool import HeldConnection

CHANNEL: Final = "headrace_changes"
"""Statements ring with `pg_notify('headrace_changes', '<kind>:<text>')`."""
POLL_S: Final = 0.1
"""How often those look who wait while nothing is heard."""
CUT: Final = (DatabaseUnavailableError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError)
"""Whatever keeps us from listening, the next try may go through: polling does the work."""

Callback: TypeAlias = "Callable[[str | None], None]"
"""Called on the loop with the text that was rung; with None where something may have been missed:
look again, and ask `is_listening` again."""
Unlisten: TypeAlias = "Callable[[], None]"


class Hub:
    """The one LISTEN connection of a process; for a single event loop at a time."""

    def __init__(self, connect: Callable[[], Awaitable[HeldConnection]]) -> None:
        """Nothing is connected before the first `listen`.

        Args:
            connect: Opens a connection to the database itself, past a pooler.
        """
        self._connect = connect
        self._callbacks: dict[str, list[Callback]] = {}
        self._keeper: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_direct = True
        self._is_open = False

    @property
    def is_listening(self) -> bool:
        """Whether what is rung now is heard.

        False behind a transaction pooler, and while the connection is away: look every `POLL_S`.
        """
        return self._is_open and self._loop is asyncio.get_running_loop()

    def listen(self, kind: str, text: str, callback: Callback) -> Unlisten:
        """Have `callback` called when `<kind>:<text>` is rung.

        Args:
            kind: `lock`, `operation`, `breaker` or `limit`.
            text: What exactly; up to 4,000 bytes.
            callback: Called on the running loop; it must not wait or raise.

        Returns:
            Ends it; calling it twice does no harm.
        """
        self._start()
        payload = f"{kind}:{text}"
        self._callbacks.setdefault(payload, []).append(callback)

        def unlisten() -> None:
            listeners = self._callbacks.get(payload, [])
            if callback in listeners:
                listeners.remove(callback)
            if not listeners:
                self._callbacks.pop(payload, None)

        return unlisten

    async def close(self) -> None:
        """Close the connection; a later `listen` opens another."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None and self._loop is asyncio.get_running_loop():
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)

    def _start(self) -> None:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # an `asyncio.run` after another one
            self._loop, self._keeper, self._is_open = loop, None, False
            self._callbacks.clear()
        if self._keeper is None or (self._keeper.done() and self._is_direct):
            self._keeper = loop.create_task(self._keep(), name="headrace changes")

    async def _keep(self) -> None:
        """Listen until closed, or until a pooler is found to stand in between."""
        backoff = Backoff()
        while self._is_direct:
            with contextlib.suppress(*CUT):
                await self._hear(backoff)
            await asyncio.sleep(backoff.next_s())

    async def _hear(self, backoff: Backoff) -> None:
        connection = await self._connect()
        try:
            # A pooler answers for the session with a process number of its own.
            self._is_direct = connection.get_server_pid() == await session_process(connection)
            if not self._is_direct:
                return
            gone = asyncio.Event()
            connection.add_termination_listener(lambda _connection: gone.set())
            await connection.add_listener(CHANNEL, self._heard)
            self._change(is_open=True)
            backoff.reset()
            await gone.wait()
        finally:
            connection.terminate()
            if self._is_open:
                self._change(is_open=False)

    def _change(self, *, is_open: bool) -> None:
        self._is_open = is_open
        for listeners in list(self._callbacks.values()):
            for callback in list(listeners):
                callback(None)

    def _heard(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        payload = str(payload)
        _, _, text = payload.partition(":")
        for callback in list(self._callbacks.get(payload, ())):
            callback(text)
