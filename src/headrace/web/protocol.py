"""HTTP/1.1 of uvicorn, with a time limit for headers and answers in our form to what is no HTTP."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from headrace.web.gate.envelope import SECURE
from headrace.web.gathering import Gathering
from headrace.web.problems import MEDIA_TYPE, ProblemError

if TYPE_CHECKING:
    from collections.abc import Iterable

HEADERS_S: Final = 10.0
"""A request's line and headers have to come within so long, also the first of a connection."""
HEADER_BYTES: Final = 32 * 1024
"""Of one request's line and headers."""
SWEEP_S: Final = 1.0


class GuardedProtocol(HttpToolsProtocol):
    """One connection; `is_overdue` tells whether its client is too slow with its headers.

    A timer for each request would cost 3 us of it: the connections are looked over each second.
    """

    waits_since: float | None = None
    """When the headers that are awaited began; None while a request is served."""
    _header_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """As `asyncio.Protocol.connection_made`."""
        super().connection_made(Gathering(transport, self.loop))
        self.waits_since = self.loop.time()

    def data_received(self, data: bytes) -> None:
        """As `asyncio.Protocol.data_received`; headers that do not end are refused."""
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

    def is_overdue(self, now: float) -> bool:
        """Whether its client had its time for headers."""
        return self.waits_since is not None and now - self.waits_since > HEADERS_S

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
        self.transport.close()


async def sweep_connections(connections: Iterable[Any]) -> None:
    """Close connections whose clients do not get their headers done, until it is cancelled.

    Args:
        connections: Those of the server, as they are each time.
    """
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(SWEEP_S)
        close_overdue(connections, loop.time())


def close_overdue(connections: Iterable[Any], now: float) -> None:
    """Close those connections whose clients had their time for headers."""
    for connection in list(connections):
        if isinstance(connection, GuardedProtocol) and connection.is_overdue(now):
            connection.transport.close()
