"""A proxy before PostgreSQL that acts on one request: holds its answer back, or loses it."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

IDLE = b"Z\x00\x00\x00\x05I"
"""What the server says when a session is in no transaction."""


@dataclass(eq=False)
class Line:
    """One session."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    name: str = ""
    idle: bool = False
    loses_answer: bool = False
    answers: asyncio.Event = field(default_factory=asyncio.Event)

    def cut(self) -> None:
        for writer in (self.client, self.server):
            writer.transport.abort()


Match = Callable[[bytes, Line], bool]


def statement(piece: bytes, line: Line) -> bool:
    """Whether this runs a prepared statement outside a transaction, which commits with it."""
    return line.idle and piece[:1] == b"B" and b"BEGIN" not in piece


def commit(piece: bytes, _line: Line) -> bool:
    """Whether this is the end of a transaction."""
    return b"commit" in piece.lower()


class Executes:
    """Whether this is the nth time that the statement with a text, prepared there, is executed."""

    def __init__(self, text: str, *, nth: int = 1) -> None:
        self._text, self._left = text.encode(), nth
        self._names: dict[Line, bytes] = {}

    def __call__(self, piece: bytes, line: Line) -> bool:
        if self._text in piece:
            head = piece[: piece.index(self._text)]
            self._names[line] = head[head.rindex(b"P", 0, head.rindex(b"\0")) + 5 :].split(b"\0")[0]
        name = self._names.get(line)
        if piece[:1] == b"B" and name is not None and b"\0" + name + b"\0" in piece:
            self._left -= 1
        return self._left == 0


class Wire:
    """Passes everything on, but for the request that it was told to wait for."""

    def __init__(self, target: str, folder: Path) -> None:
        self._target = target
        self._lines: set[Line] = set()
        self._name, self._match, self._loses = "", None, False
        self._refuses_then = self._refuses = False
        self.fired = asyncio.Event()
        """Set when the request was passed on."""
        parts = urlsplit(target)
        self.address = urlunsplit(
            parts._replace(netloc="postgres@", query=f"host={quote(str(folder))}")
        )

    def lose_answer(self, name: str, match: Match, *, refuse: bool = False) -> None:
        """Pass on the next request of a session with this name, lose its answer and cut it off.

        With `refuse` nobody gets a new session after that, until `accept`.
        """
        self._name, self._match, self._loses = name, match, True
        self._refuses_then = refuse
        self.fired.clear()

    def accept(self) -> None:
        """Let new sessions through again."""
        self._refuses = False

    def hold_answer(self, name: str, match: Match) -> None:
        """Pass on the next request of a session with this name, but no answers until `release`."""
        self._name, self._match, self._loses = name, match, False
        self.fired.clear()

    def release(self) -> None:
        """Pass held answers on."""
        for line in self._lines:
            line.answers.set()

    def cut(self, name: str = "") -> None:
        """Break the sessions with this name."""
        for line in [line for line in self._lines if name in line.name]:
            line.cut()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            writer.transport.abort()
            return
        upper_reader, upper = await self._dial()
        line = Line(writer, upper)
        line.answers.set()
        self._lines.add(line)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._ask(line, reader))
                group.create_task(self._answer(line, upper_reader))
        finally:
            self._lines.discard(line)

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        parts = urlsplit(self._target)
        host = parse_qs(parts.query).get("host", [parts.hostname or "localhost"])[0]
        port = parts.port or 5432
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, port)

    async def _ask(self, line: Line, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(65_536):
                if not line.name:
                    _, _, rest = piece.partition(b"application_name\0")
                    line.name = rest.partition(b"\0")[0].decode() or "unknown"
                if self._match is not None and self._name in line.name and self._match(piece, line):
                    self._match = None
                    line.loses_answer = self._loses
                    self._refuses = self._refuses_then
                    if not self._loses:
                        line.answers.clear()
                    self.fired.set()
                line.server.write(piece)
                await line.server.drain()
        line.server.close()

    async def _answer(self, line: Line, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(65_536):
                if line.loses_answer:
                    line.cut()
                    return
                await line.answers.wait()
                line.idle = piece.endswith(IDLE)
                line.client.write(piece)
                await line.client.drain()
        line.client.close()


@contextlib.asynccontextmanager
async def wire_to(target: str) -> AsyncIterator[Wire]:
    """A wire on a socket of its own, for as long as the block lasts."""
    folder = Path(tempfile.mkdtemp(prefix="hr-"))
    wire = Wire(target, folder)
    server = await asyncio.start_unix_server(wire.serve, str(folder / ".s.PGSQL.5432"))
    try:
        yield wire
    finally:
        server.close()
        wire.release()
        wire.cut()
        shutil.rmtree(folder)
