"""A receiver of calls on a real socket, with bad days; it counts every connection."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Literal, TypeAlias

from headrace.egress.addresses import Address

Mood: TypeAlias = Literal[
    "well", "silent", "slow", "closing", "flood", "heads", "bomb", "nonsense", "keeping"
]
MIB = 1_024 * 1_024
FLOOD = b" " * 65_536


@dataclass(frozen=True)
class Got:
    """One request that arrived whole."""

    line: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Receiver:
    """What the tests turn: its mood, and what it answers."""

    port: int = 0
    mood: Mood = "well"
    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    got: list[Got] = field(default_factory=list)
    connections: int = 0
    names: list[str | None] = field(default_factory=list)
    """Those that TLS was asked for."""
    sent: int = 0
    """Bytes of floods that went out."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: one answer."""
        self.connections += 1
        try:
            if self.mood != "closing":
                await self._serve_one(reader, writer)
            while self.mood == "keeping":
                await self._serve_one(reader, writer)
            writer.close()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            if not writer.is_closing():
                writer.transport.abort()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.got.append(await _read(reader))
        await self._answer(writer)

    async def _answer(self, writer: asyncio.StreamWriter) -> None:
        if self.mood == "silent":
            await asyncio.Event().wait()
        if self.mood == "nonsense":
            writer.write(b"220 smtp.example.com ready\r\n")
            return await writer.drain()
        headers = dict(self.headers)
        if self.mood != "keeping":
            headers["Connection"] = "close"
        body = gzip.compress(bytes(64 * MIB), 1) if self.mood == "bomb" else self.body
        if self.mood == "bomb":
            headers["Content-Encoding"] = "gzip"
        if self.mood != "flood":
            headers["Content-Length"] = str(len(body))
        lines = [f"HTTP/1.1 {self.status} .", *(f"{name}: {headers[name]}" for name in headers)]
        head = "\r\n".join([*lines, "", ""]).encode()
        if self.mood == "slow":
            return await _drip(writer, head)
        if self.mood == "heads":
            return await self._flood(writer, b"HTTP/1.1 200 .\r\n", b"x: y\r\n" * 1_000)
        writer.write(head + body)
        if self.mood == "flood":
            return await self._flood(writer, b"", FLOOD)
        return await writer.drain()

    async def _flood(self, writer: asyncio.StreamWriter, start: bytes, again: bytes) -> None:
        writer.write(start)
        while True:
            writer.write(again)
            await writer.drain()
            self.sent += len(again)


async def _read(reader: asyncio.StreamReader) -> Got:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *rest = head.rstrip("\r\n").split("\r\n")
    headers = {name.lower(): text.strip() for name, _, text in (one.partition(":") for one in rest)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Got(line, headers, body)


async def _drip(writer: asyncio.StreamWriter, head: bytes) -> None:
    for number in range(len(head)):
        writer.write(head[number : number + 1])
        await writer.drain()
        await asyncio.sleep(0.2)


@contextlib.asynccontextmanager
async def receiving(
    tls: ssl.SSLContext | None = None, *, host: str = "127.0.0.1"
) -> AsyncIterator[Receiver]:
    """A receiver that listens, inside an `async with` block.

    Args:
        tls: What it speaks; plain HTTP if left out.
        host: Where it listens.
    """
    receiver = Receiver()
    if tls is not None:

        def note(_: Any, name: str | None, __: Any) -> None:  # noqa: ANN401
            receiver.names.append(name)

        tls.sni_callback = note
    tasks: set[asyncio.Task[None]] = set()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(receiver.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(begin, host, 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # what was cut off closes with the next turn


@dataclass
class Names:
    """Name servers whose answers a test writes: the next one to each question."""

    answers: dict[str, list[Sequence[str]]]
    asked: list[str] = field(default_factory=list)

    async def resolve(self, host: str, port: int) -> Sequence[Address]:  # noqa: ARG002
        """See `Resolver.resolve`."""
        self.asked.append(host)
        left = self.answers.get(host, [()])
        found = left.pop(0) if len(left) > 1 else left[0]
        return [ip_address(one) for one in found]

    async def close(self) -> None:
        """It has nothing to end."""
