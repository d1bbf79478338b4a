"""Clients that submit over HTTP without end, and remember every answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass, field
from typing import Final

PATIENCE_S: Final = 0.2
"""After a refusal: less than it asks for, so that many requests meet the outage."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request got.

    Attributes:
        at: When it was sent, as `time.monotonic` has it.
        seconds: How long its answer took.
        status: 0 where the connection broke.
        headers: By their names in small letters.
    """

    at: float
    seconds: float
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class Caller:
    """Sends requests on a connection that is kept, and made again where it broke."""

    def __init__(self, port: int, key: str = "") -> None:
        self._port, self._key = port, key
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        """The answer to a request."""
        lines = [f"{method} {path} HTTP/1.1", "Host: tests", f"Content-Length: {len(body)}"]
        if body:
            lines.append("Content-Type: application/json")
        if self._key:
            lines.append(f"Authorization: Bearer {self._key}")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        began = time.monotonic()
        try:
            status, given, content = await self._exchange("\r\n".join(lines).encode(), body)
        except (OSError, EOFError):
            self.close()
            return Answer(began, time.monotonic() - began, 0)
        return Answer(began, time.monotonic() - began, status, given, content)

    async def _exchange(self, head: bytes, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(head + b"\r\n\r\n" + body)
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
        headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in lines)}
        content = await reader.readexactly(int(headers["content-length"]))
        if headers.get("connection") == "close":
            self.close()
        return int(first.split()[1]), headers, content

    def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


class Submitter:
    """One client: submits a job after the other; with keys it insists on each until it is taken."""

    def __init__(self, caller: Caller, number: int, *, keyed: bool, pause_s: float) -> None:
        self._caller, self._number, self._pause_s = caller, number, pause_s
        self._keyed = keyed
        self.answers: list[Answer] = []
        self.jobs: dict[str, str] = {}
        """The accepted jobs, by key or a number of our own."""

    async def run(self, stop: asyncio.Event) -> None:
        """Submit until told to stop; a key that is not taken yet is still insisted on."""
        turn = 0
        while not stop.is_set():
            turn += 1
            await self._submit(f"{self._number}/{turn}", stop)
            await asyncio.sleep(self._pause_s)
        self._caller.close()

    async def _submit(self, name: str, stop: asyncio.Event) -> None:
        body = json.dumps({"pipeline": "double", "payload": self._number}).encode()
        headers = {"Idempotency_Key": name} if self._keyed else {}
        while True:
            answer = await self._caller.ask("POST", "/v1/jobs", body, **headers)
            self.answers.append(answer)
            if answer.status == 202:
                self.jobs[name] = json.loads(answer.body)["job_id"]
                return
            if not self._keyed or stop.is_set():
                return
            await asyncio.sleep(PATIENCE_S)


class Watch:
    """Asks one process again and again whether it is ready."""

    def __init__(self, port: int) -> None:
        self._caller = Caller(port)
        self.said: list[tuple[float, int]] = []
        """When it began to say what: changes only."""

    async def run(self, every_s: float) -> None:
        """Ask until cancelled."""
        with contextlib.closing(self._caller):
            while True:
                answer = await self._caller.ask("GET", "/ready")
                if not self.said or self.said[-1][1] != answer.status:
                    self.said.append((time.monotonic(), answer.status))
                await asyncio.sleep(every_s)

    def since(self, moment: float, status: int) -> float | None:
        """Seconds from a moment until it said so; None: it never did."""
        return next((at - moment for at, said in self.said if at > moment and said == status), None)
