"""The socket that clients connect to, and what can happen to their connections.

gRPC does not show its sockets, so bytes pass through here on their way to it. That is what makes it
possible to reset connections, to freeze them, and to listen on the same port after a restart.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.testing.pubsub.pushing import Spawn

_RESET: Final = struct.pack("ii", 1, 0)  # on, and no time: closing answers with RST
HOST: Final = "127.0.0.1"


class Doorway:
    """Forwards connections on the loopback interface to another port of it.

    Attributes:
        port: Where it listens; stays the same once it was open.
    """

    def __init__(self, port: int, spawn: Spawn) -> None:
        """One that does not listen yet; port 0 is any free one."""
        self.port, self._spawn = port, spawn
        self._server: asyncio.Server | None = None
        self._visits: set[_Visit] = set()
        self._is_frozen = False

    async def open(self, target: int) -> None:
        """Listen, and forward to the port `target`.

        Raises:
            OSError: The port is taken.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: self._visit(target), HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Refuse connections, and reset those there are."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.reset()

    def reset(self) -> int:
        """End all connections by RST; how many there were."""
        visits = list(self._visits)
        for visit in visits:
            visit.reset()
        return len(visits)

    def freeze(self) -> None:
        """Pass nothing on in either direction; connections stay."""
        self._is_frozen = True
        for visit in self._visits:
            visit.freeze()

    def thaw(self) -> None:
        """Pass on what came in the meantime, and what comes."""
        self._is_frozen = False
        for visit in self._visits:
            visit.thaw()

    def _visit(self, target: int) -> _Visit:
        visit = _Visit(target, self._spawn, self._visits.discard, is_frozen=self._is_frozen)
        self._visits.add(visit)
        return visit


class _End(asyncio.Protocol):
    """One of the two connections of a visit: writes to the other what it reads."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: _End | None = None
        self._early: list[bytes] = []
        self.is_frozen = self.is_choked = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - of TCP it always is
        self.transport = transport
        for data in self._early:
            transport.write(data)
        self._early.clear()

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            self.other.write(data)

    def write(self, data: bytes) -> None:
        """Send it, now or as soon as there is a connection."""
        if self.transport is None:
            self._early.append(data)
        else:
            self.transport.write(data)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - however it ended
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()

    def pause_writing(self) -> None:
        if self.other is not None:
            self.other.choke(is_choked=True)

    def resume_writing(self) -> None:
        if self.other is not None:
            self.other.choke(is_choked=False)

    def choke(self, *, is_choked: bool) -> None:
        """The other side takes no more for now, or takes again."""
        self.is_choked = is_choked
        self.read_if_allowed()

    def read_if_allowed(self) -> None:
        """Read, unless it is frozen or the other side is full."""
        if self.transport is None or self.transport.is_closing():
            return
        if self.is_frozen or self.is_choked:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()


class _Visit(_End):
    """A client's connection, which brings about the one to the server."""

    def __init__(
        self, target: int, spawn: Spawn, forget: Callable[[_Visit], None], *, is_frozen: bool
    ) -> None:
        super().__init__()
        self._target, self._spawn, self._forget = target, spawn, forget
        self._inner = _End()
        self._inner.other, self.other = self, self._inner
        self.is_frozen = self._inner.is_frozen = is_frozen

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._dialling = self._spawn(self._dial())

    async def _dial(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: self._inner, HOST, self._target)
        except OSError:
            self.reset()
        self._apply()

    def connection_lost(self, error: Exception | None) -> None:
        self._forget(self)
        super().connection_lost(error)

    def reset(self) -> None:
        """End it by RST."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        transport.abort()
        if self._inner.transport is not None:
            self._inner.transport.abort()

    def freeze(self) -> None:
        """Read no more on either side."""
        self.is_frozen = self._inner.is_frozen = True
        self._apply()

    def thaw(self) -> None:
        """Read again."""
        self.is_frozen = self._inner.is_frozen = False
        self._apply()

    def _apply(self) -> None:
        self.read_if_allowed()
        self._inner.read_if_allowed()
