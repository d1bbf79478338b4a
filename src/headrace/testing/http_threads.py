"""How a fake server sends its answers: whole, late, in drops, in part, or without end."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

MOST_BYTES: Final = 16 * 1_024 * 1_024
"""Of a request; more is refused with status 413."""
DROP_S: Final = 0.02
_BLANKS: Final = b" " * 65_536
_RESET: Final = struct.pack("ii", 1, 0)  # close at once, with a reset instead of an orderly end


class Fault(StrEnum):
    """What a server does instead of answering; ask for it with `fail_next`."""

    SERVER_ERROR = "server_error"
    """Status 500."""
    UNAVAILABLE = "unavailable"
    """Status 503."""
    TIMED_OUT = "timed_out"
    """Status 408."""
    RATE_LIMITED = "rate_limited"
    """Status 429, Retry-After 2 seconds."""
    NO_QUOTA = "no_quota"
    """Status 429 with the code `insufficient_quota`: waiting does not help."""
    HANG = "hang"
    """It takes the request and says nothing until the caller or the server goes."""
    DRIP = "drip"
    """A right answer, one byte every 20 ms."""
    RESET = "reset"
    """The first half of a right answer, then a reset of the connection."""
    OVERSIZED = "oversized"
    """A right answer, followed by blanks until the caller goes."""


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked; the names of headers are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: what is sent, and how."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    fault: Fault | None = None
    content_type: str = "application/json"


class ThreadedServer(ThreadingHTTPServer):
    """Serves GET and POST on a port of 127.0.0.1, a thread for each connection; 0: a free one."""

    daemon_threads = False  # so that closing waits for them
    request_queue_size = 256  # a crowd of callers at once

    def __init__(self, reply: Callable[[Request], Reply], port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.reply = reply
        self.closing = threading.Event()
        self.to_reset: set[socket.socket] = set()
        self._open: set[socket.socket] = set()
        self._loop = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.01}, name="fake-server"
        )

    def start(self) -> None:
        """Begin to listen."""
        self._loop.start()

    def stop(self) -> None:
        """Break all connections, and end all threads."""
        self.closing.set()
        self.shutdown()
        self._loop.join()
        for connection in list(self._open):
            with contextlib.suppress(OSError):  # it may just have ended by itself
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as inherited
        """Serve a connection in a thread of its own."""
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 - as inherited
        """End a connection, in order or by a reset."""
        self._open.discard(request)
        if request in self.to_reset:
            self.to_reset.discard(request)
            self.close_request(request)
        else:
            super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as inherited
        """A caller that goes is no error; anything else is printed."""
        import sys  # noqa: PLC0415 - its only use

        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: ThreadedServer

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        if size > MOST_BYTES:
            self.close_connection = True
            self._begin(Reply(413, b""))
            return
        headers = {name.lower(): text for name, text in self.headers.items()}
        body = self.rfile.read(size)
        reply = self.server.reply(Request(self.command, self.path, headers, body))
        match reply.fault:
            case Fault.HANG:
                self._hang()
            case Fault.DRIP:
                self._begin(reply)
                self._drip(reply.body)
            case Fault.RESET:
                self._begin(reply)
                self._cut(reply.body)
            case Fault.OVERSIZED:
                self._flood(reply)
            case _:
                self._begin(reply)
                self.wfile.write(reply.body)

    def log_message(self, *_args: object) -> None:
        """Nothing on the terminal: the server keeps a log of its own."""

    def _begin(self, reply: Reply, length: int | None = None) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body) if length is None else length))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _hang(self) -> None:
        """Until the caller goes, which makes its side readable, or the server is closed."""
        self.close_connection = True
        self.connection.settimeout(DROP_S)
        while not self.server.closing.is_set():
            with contextlib.suppress(TimeoutError):
                if not self.connection.recv(1):
                    return

    def _drip(self, body: bytes) -> None:
        for byte in body:
            if self.server.closing.wait(DROP_S):
                self.close_connection = True
                return
            self.wfile.write(bytes([byte]))

    def _cut(self, body: bytes) -> None:
        self.wfile.write(body[: len(body) // 2])
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.server.to_reset.add(self.connection)

    def _flood(self, reply: Reply) -> None:
        self.close_connection = True
        self._begin(reply, length=1 << 40)
        self.wfile.write(reply.body)
        while not self.server.closing.is_set():
            self.wfile.write(_BLANKS)
