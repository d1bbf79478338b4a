"""A TCP proxy before PostgreSQL: it cuts, delays, falls silent, swallows the reply of a commit."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PIECE: Final = 65_536
IDLE: Final = b"Z\x00\x00\x00\x05I"
"""What the server says when a session is in no transaction."""
LINGER_NOTHING: Final = struct.pack("ii", 1, 0)


@dataclass(slots=True, eq=False)
class Link:
    """One session of a client."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    name: str = ""
    idle: bool = False
    doomed: bool = False
    """The next answer is not passed on, and then the session is cut."""

    def cut(self) -> None:
        """Break the session; the client's side sees a reset."""
        raw = self.client.get_extra_info("socket")
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOTHING)
        self.client.transport.abort()
        self.server.transport.abort()


class Proxy:
    """Listens on a port of its own; everything is passed on until somebody wants it otherwise."""

    def __init__(self, socket_path: Path) -> None:
        self._socket_path = socket_path
        self._links: set[Link] = set()
        self._server: asyncio.Server | None = None
        self._armed = ""
        self._delay_s = 0.0
        self._speaking = asyncio.Event()
        self._speaking.set()
        self.port = 0
        self.swallowed = 0

    async def start(self) -> None:
        """Begin to listen on the loopback address."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Cut everything."""
        if self._server is not None:
            self._server.close()
        self.heal()
        self.cut()

    def cut(self, name: str = "") -> int:
        """Reset all sessions whose application name holds `name`; returns how many."""
        links = [link for link in self._links if name in link.name]
        for link in links:
            link.cut()
        return len(links)

    def delay(self, seconds: float) -> None:
        """Hold each piece back for so long, in both directions."""
        self._delay_s = seconds

    def fall_silent(self) -> None:
        """Pass nothing on, as a network that loses all packets."""
        self._speaking.clear()

    def heal(self) -> None:
        """Pass everything on again."""
        self._delay_s, self._armed = 0.0, ""
        self._speaking.set()

    def swallow_commit(self, name: str) -> None:
        """Let the next commit of a session with this name through, but not its reply; then cut."""
        self._armed = name

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upper_reader, upper = await asyncio.open_unix_connection(str(self._socket_path))
        except OSError:
            writer.transport.abort()  # as a port where nobody listens
            return
        link = Link(writer, upper)
        self._links.add(link)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._ask(link, reader))
                group.create_task(self._answer(link, upper_reader))
        finally:
            self._links.discard(link)

    async def _ask(self, link: Link, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(PIECE):
                await self._hold()
                if not link.name:
                    link.name = _application(piece)
                if self._armed and self._armed in link.name and _commits(piece, link):
                    self._armed, link.doomed = "", True
                link.server.write(piece)
                await link.server.drain()
        link.server.close()

    async def _answer(self, link: Link, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(PIECE):
                await self._hold()
                if link.doomed:
                    self.swallowed += 1
                    link.cut()
                    return
                link.idle = piece.endswith(IDLE)
                link.client.write(piece)
                await link.client.drain()
        link.client.close()

    async def _hold(self) -> None:
        if self._delay_s:
            await asyncio.sleep(self._delay_s)
        await self._speaking.wait()


def _application(startup: bytes) -> str:
    """The application name in the first message of a session."""
    _, found, rest = startup.partition(b"application_name\0")
    return rest.partition(b"\0")[0].decode() if found else "unknown"


def _commits(piece: bytes, link: Link) -> bool:
    """Whether this request commits: by its own word, or as the only statement of a transaction."""
    alone = link.idle and piece[:1] == b"B" and b"BEGIN" not in piece
    return alone or b"COMMIT" in piece
