"""HTTP/1.1 of uvicorn, with time limits for clients, and answers in our form to what is no HTTP."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from headrace.web.gate.envelope import SECURE, Envelope
from headrace.web.gathering import Gathering
from headrace.web.problems import MEDIA_TYPE, ProblemError

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.types import Receive, Scope, Send

HEADERS_S: Final = 10.0
"""A request's line and headers have to come within so long, also the first of a connection."""
HURRIED_S: Final = 2.0
"""The same while more than half of the connections are there that may be."""
HEADER_BYTES: Final = 32 * 1024
"""Of one request's line and headers."""
UNREAD_S: Final = 60.0
"""A client that takes nothing of what it is sent for so long is given up."""
SWEEP_S: Final = 1.0


async def _refuse_crowd(scope: Scope, receive: Receive, send: Send) -> None:
    headers = {"Retry-After": str(int(HURRIED_S) + 1), "Connection": "close"}
    refusal = ProblemError("UNAVAILABLE", "too many connections are open", headers=headers)
    await refusal.problem().response(scope)(scope, receive, send)


CROWDED: Final = Envelope(_refuse_crowd, is_production=False)
"""Answers in place of the API while there are too many connections."""


class GuardedProtocol(HttpToolsProtocol):
    """One connection; `is_overdue` tells whether its client is too slow with its headers.

    A timer for each request would cost 3 us of it: the connections are looked over each second.
    """

    waits_since: float | None = None
    """When the headers that are awaited began; None while a request is served."""
    _header_bytes = 0
    _gathering: Gathering
    _sent = 0
    _unread_since: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """As `asyncio.Protocol.connection_made`."""
        self._gathering = Gathering(transport, self.loop, self._is_sending)
        super().connection_made(self._gathering)
        self.waits_since = self.loop.time()
        # The server's own refusal is no problem document, and does not say when to come again.
        most, self.limit_concurrency = self.limit_concurrency, None
        if most is not None and len(self.connections) > most:
            self.app = CROWDED

    def data_received(self, data: bytes) -> None:
        """As `asyncio.Protocol.data_received`; headers that do not end are refused."""
        if self._gathering.lingers:
            return
        if self.waits_since is not None:
            self._header_bytes += len(data)
        super().data_received(data)
        if self.waits_since is not None and self._header_bytes > HEADER_BYTES:
            self._refuse("the headers are too large", 431)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        if self.waits_since is None:
            self.waits_since, self._header_bytes = self.loop.time(), 0

    def on_headers_complete(self) -> None:
        """Its headers are there."""
        self.waits_since = None
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """An answer is sent; the next request that has come already is served."""
        super().on_response_complete()
        if self.pipeline:  # else each answer would let in another 256 KiB of requests
            self.flow.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """As `asyncio.Protocol.connection_lost`."""
        self._gathering.lost()
        super().connection_lost(exc)

    def _is_sending(self) -> bool:
        cycle: Any = self.cycle  # None before the first request
        return bool(cycle and cycle.response_complete and cycle.more_body)

    def is_overdue(self, now: float, patience: float = HEADERS_S) -> bool:
        """Whether its client had its time for headers, in seconds."""
        return self.waits_since is not None and now - self.waits_since > patience

    def is_unread(self, now: float) -> bool:
        """Whether its client took nothing for 60 s of what waits to be sent; ask each second."""
        if not self._gathering.get_write_buffer_size():
            self._unread_since = None
            return False
        sent = self._gathering.sent
        if self._unread_since is None or sent != self._sent:
            self._sent, self._unread_since = sent, now
        return now - self._unread_since > UNREAD_S

    def abort(self) -> None:
        """Hang up at once; what is not sent is lost."""
        self._gathering.abort()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(msg, 400)

    def _refuse(self, detail: str, status: int) -> None:
        if self.transport.is_closing():
            return
        problem = ProblemError("VALIDATION_ERROR", detail, status=status).problem()
        body = problem.body({"path": ""})
        headers = [
            *SECURE,
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
        self.transport.write(b"HTTP/1.1 %d \r\n" % status + lines + b"\r\n" + body)
        self._gathering.linger()


async def sweep_connections(connections: Collection[Any], most: int) -> None:
    """Close connections whose clients do not send their headers, or do not read, until cancelled.

    Args:
        connections: Those of the server, as they are each time.
        most: How many there may be; beyond half of it, clients have less time.
    """
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(SWEEP_S)
        patience = HEADERS_S if len(connections) <= most // 2 else HURRIED_S
        close_overdue(connections, loop.time(), patience)
        abort_unread(connections, loop.time())


def close_overdue(connections: Collection[Any], now: float, patience: float = HEADERS_S) -> None:
    """Close those connections whose clients had their time for headers, in seconds."""
    for connection in list(connections):
        if isinstance(connection, GuardedProtocol) and connection.is_overdue(now, patience):
            connection.transport.close()


def abort_unread(connections: Collection[Any], now: float) -> None:
    """Hang up on those clients that do not read: closing would wait for them for ever."""
    for connection in list(connections):
        if isinstance(connection, GuardedProtocol) and connection.is_unread(now):
            connection.abort()
