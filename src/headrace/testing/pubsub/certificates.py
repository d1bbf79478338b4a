"""Serves the public keys of the push tokens by HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Final

PATH: Final = "/oauth2/v3/certs"
_REQUEST_S: Final = 10.0


class Certificates:
    """An HTTP server of one page.

    Attributes:
        port: Where it listens, on the loopback interface; 0 before it does.
    """

    def __init__(self, keys: Callable[[], Awaitable[object | None]]) -> None:
        """One that answers with `keys` as JSON, or with status 503 when that is None."""
        self.port = 0
        self._keys = keys
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Listen no longer."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                async with asyncio.timeout(_REQUEST_S):
                    head = await reader.readuntil(b"\r\n\r\n")
                writer.write(await self._answer(head))
                await writer.drain()
        finally:
            writer.close()

    async def _answer(self, head: bytes) -> bytes:
        if head.split(b" ", 2)[:2] != [b"GET", PATH.encode()]:
            return _response("404 Not Found", b"{}")
        keys = await self._keys()
        if keys is None:
            return _response("503 Service Unavailable", b"{}")
        return _response("200 OK", json.dumps(keys).encode())


def _response(status: str, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\n"
        "Content-Type: application/json\r\n"
        "Cache-Control: public, max-age=3600\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + body
