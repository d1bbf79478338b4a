"""A proxy before PostgreSQL that can fall silent, refuse, cut, or look like a pooler."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

READY_FOR_QUERY: Final = b"Z"
KEY_DATA: Final = b"K"


class Proxy:
    """Passes bytes on. What goes wrong is switched on by its methods."""

    def __init__(self, target: str, folder: Path, *, is_pooler: bool = False) -> None:
        self._target = target
        self._is_pooler = is_pooler
        self._open = asyncio.Event()
        self._open.set()
        self._answering = asyncio.Event()
        self._answering.set()
        self._delay_s = 0.0
        self._refuses = False
        self._pairs: dict[asyncio.Task[None], tuple[asyncio.StreamWriter, ...]] = {}
        parts = urlsplit(target)
        self.address = urlunsplit(
            parts._replace(netloc="postgres@", query=f"host={quote(str(folder))}")
        )

    def fall_silent(self) -> None:
        """Pass nothing on, in either direction, as a network that drops packets."""
        self._open.clear()

    def speak(self) -> None:
        self._open.set()
        self._answering.set()

    def hold_answers(self) -> None:
        """Let what clients send through, and nothing of what the server says."""
        self._answering.clear()

    def slow_down(self, seconds: float) -> None:
        """Hold each piece back for so long, in both directions."""
        self._delay_s = seconds

    def refuse(self) -> None:
        """Take no new connections."""
        self._refuses = True

    def accept(self) -> None:
        self._refuses = False

    def cut(self) -> None:
        """Break all connections."""
        for writers in list(self._pairs.values()):
            for writer in writers:
                writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if self._refuses:
            writer.transport.abort()
            return
        upper_reader, upper = await self._dial()
        self._pairs[task] = (writer, upper)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass(reader, upper))
                group.create_task(self._answer(upper_reader, writer))
        finally:
            del self._pairs[task]

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        parts = urlsplit(self._target)
        host = parse_qs(parts.query).get("host", [parts.hostname or "localhost"])[0]
        port = parts.port or 5432
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, port)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_pooler:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                await self._greet_as_pooler(reader, writer)
        await self._pass(reader, writer, self._answering)

    async def _greet_as_pooler(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Give every session a process number that no server process has."""
        kind = b""
        while kind != READY_FOR_QUERY:
            head = await reader.readexactly(5)
            kind, length = head[:1], int.from_bytes(head[1:], "big")
            body = await reader.readexactly(length - 4)
            if kind == KEY_DATA:
                body = (1).to_bytes(4, "big") + body[4:]
            writer.write(head + body)

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        gate: asyncio.Event | None = None,
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(65_536):
                if self._delay_s:
                    await asyncio.sleep(self._delay_s)
                await self._open.wait()
                if gate is not None:
                    await gate.wait()
                writer.write(piece)
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def proxy_to(target: str, *, is_pooler: bool = False) -> AsyncIterator[Proxy]:
    """A proxy on a socket of its own, for as long as the block lasts."""
    folder = Path(tempfile.mkdtemp(prefix="hr-"))
    proxy = Proxy(target, folder, is_pooler=is_pooler)
    server = await asyncio.start_unix_server(proxy.serve, str(folder / ".s.PGSQL.5432"))
    try:
        yield proxy
    finally:
        server.close()
        proxy.speak()
        proxy.cut()
        shutil.rmtree(folder)
