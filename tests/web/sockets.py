"""HTTP written by hand, for what no client library would send."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from tests.web.serving import Api, who


@dataclass
class Line:
    """One connection to an API."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    key: str

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def head(self, *lines: str, method: str = "POST", path: str = "/v1/jobs") -> bytes:
        """A request line and headers, with the credential of a user."""
        given = [f"{method} {path} HTTP/1.1", "Host: api", f"Authorization: Bearer {self.key}"]
        return "\r\n".join([*given, *lines, "", ""]).encode()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the next answer."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): text for name, text in (line.split(": ", 1) for line in lines)}
        body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return int(first.split()[1]), headers, body

    async def is_closed(self) -> bool:
        """Whether the server has hung up, once it does or sends something."""
        with contextlib.suppress(ConnectionError):
            return await self.reader.read(1) == b""
        return True


@contextlib.asynccontextmanager
async def dial(api: Api) -> AsyncIterator[Line]:
    """A connection, inside an `async with` block."""
    key = await api.key(who())
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    try:
        yield Line(reader, writer, key)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
