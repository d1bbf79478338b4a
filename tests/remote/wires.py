"""What lies between a client and an API: a line with faults, and a server that follows a script."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

STREAM = b"text/event-stream"


class Wire:
    """Passes bytes on to an API, which may be replaced by another. Faults are switched on."""

    def __init__(self, port: int) -> None:
        self.port: int | None = port
        """Of the API; None while there is none."""
        self.url = ""
        self.cut_after: list[int] = []
        """The next answers are cut off after so many bytes, one each."""
        self.holds_streams = False
        """As a proxy that wants the whole of an answer before it passes it on."""
        self.connections = 0
        self._passing = asyncio.Event()
        self._passing.set()
        self._writers: set[asyncio.StreamWriter] = set()

    def fall_silent(self) -> None:
        """Pass nothing on, as a network that drops packets."""
        self._passing.clear()

    def speak(self) -> None:
        self._passing.set()

    def cut(self) -> None:
        """Break all connections."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            upper_reader, upper = await asyncio.open_connection("127.0.0.1", self.port or 1)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, upper}
        self._writers |= pair
        asks_for_stream = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._ask(reader, upper, asks_for_stream))
                group.create_task(self._answer(upper_reader, writer, asks_for_stream))
        finally:
            self._writers -= pair
            for one in pair:
                one.transport.abort()

    async def _ask(
        self, reader: asyncio.StreamReader, upper: asyncio.StreamWriter, stream: asyncio.Event
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(65_536):
                if STREAM in piece:
                    stream.set()
                await self._passing.wait()
                upper.write(piece)
                await upper.drain()
        upper.transport.abort()

    async def _answer(
        self, upper: asyncio.StreamReader, writer: asyncio.StreamWriter, stream: asyncio.Event
    ) -> None:
        left = None
        with contextlib.suppress(ConnectionError):
            while piece := await upper.read(65_536):
                await self._passing.wait()
                if self.holds_streams and stream.is_set():
                    continue
                if left is None and self.cut_after:
                    left = self.cut_after.pop(0)
                if left is not None:
                    piece, left = piece[:left], left - len(piece)
                writer.write(piece)
                await writer.drain()
                if left is not None and left <= 0:
                    break
        writer.close()  # what was written arrives, and then nothing more


@contextlib.asynccontextmanager
async def wire_to(port: int) -> AsyncIterator[Wire]:
    """A wire to an API on this machine, for as long as the block lasts."""
    wire = Wire(port)
    async with _listening(wire.serve) as url:
        wire.url = url
        try:
            yield wire
        finally:
            wire.speak()
            wire.cut()


@dataclass
class Script:
    """A server that gives prepared answers, the last one again and again."""

    answers: list[bytes]
    url: str = ""
    requests: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                (
                    int(line.partition(b":")[2])
                    for line in head.lower().splitlines()
                    if line.startswith(b"content-length:")
                ),
                0,
            )
            self.requests.append(head + await reader.readexactly(length))
            writer.write(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])
            await writer.drain()
        writer.close()

    def header(self, name: str) -> list[str]:
        """What the requests had in a header."""
        start = f"{name.lower()}: "
        return [
            line[len(start) :]
            for request in self.requests
            for line in request.decode().splitlines()
            if line.lower().startswith(start)
        ]


def answer(status: int, body: str = "", kind: str = "application/json", **headers: str) -> bytes:
    """An answer of a script."""
    more = "".join(f"{name.replace('_', '-')}: {text}\r\n" for name, text in headers.items())
    return (
        f"HTTP/1.1 {status} x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        f"Connection: close\r\n{more}\r\n{body}"
    ).encode()


@contextlib.asynccontextmanager
async def script(*answers: bytes) -> AsyncIterator[Script]:
    """A server that gives these answers, for as long as the block lasts."""
    told = Script(list(answers))
    async with _listening(told.serve) as url:
        told.url = url
        yield told


@contextlib.asynccontextmanager
async def _listening(serve: Callable[..., object]) -> AsyncIterator[str]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)  # type: ignore[arg-type]
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
