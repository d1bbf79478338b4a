"""Workers as a user starts them, each before its own proxy, and what can be done to them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import asyncpg

from tests.crash.proxy import Proxy
from tests.crash.server import CrashServer
from tests.crash.steps import NEW, OLD, VERSION

REPOSITORY: Final = Path(__file__).parents[2]
APP: Final = "tests.crash.app:app"
START_S: Final = 60.0  # a supervisor may wait for 30 s before it starts its worker again
EXIT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Blow:
    """One thing that was done to a worker process.

    Attributes:
        kind: `kill`, `freeze`, `silence`, `stop` (asked to end) or `cut` (its connections).
        pid: The worker process; not its supervisor.
        at: Wall time of its beginning; `until` that of its end, for those that last.
    """

    kind: str
    slot: int
    pid: int
    at: float
    until: float | None = None


@dataclass(slots=True)
class Slot:
    """A place in the fleet: a supervisor, its worker, and the proxy that they connect through."""

    number: int
    proxy: Proxy
    environment: Mapping[str, str]
    log: Path
    supervised: bool = True
    process: asyncio.subprocess.Process | None = None
    frozen: set[int] = field(default_factory=set)

    async def start(self) -> None:
        """Start the command."""
        address = f"postgresql://postgres@127.0.0.1:{self.proxy.port}/postgres?sslmode=disable"
        command = [sys.executable, "-m", "headrace", "worker", APP]
        if not self.supervised:
            command.append("--no-supervisor")
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *command,
                env={**os.environ, **self.environment, "HEADRACE_DATABASE_URL": address},
                cwd=REPOSITORY,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def worker_pid(self) -> int | None:
        """The worker process; None while there is none."""
        if self.process is None or self.process.returncode is not None:
            return None
        if not self.supervised:
            return self.process.pid
        pid = self.process.pid
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
        except OSError:
            return None
        return int(children.split()[0]) if children.split() else None

    def kill(self, *, supervisor: bool) -> Blow | None:
        """SIGKILL the worker, and perhaps its supervisor before it."""
        pid = self.worker_pid
        if pid is None or self.process is None:
            return None
        if supervisor and self.supervised:
            self.process.kill()
        _send(pid, signal.SIGKILL)
        return Blow("kill", self.number, pid, time.time())

    async def freeze(self, seconds: float) -> Blow | None:
        """SIGSTOP the worker for a while."""
        pid = self.worker_pid
        if pid is None:
            return None
        started = time.time()
        _send(pid, signal.SIGSTOP)
        self.frozen.add(pid)
        try:
            await asyncio.sleep(seconds)
        finally:
            _send(pid, signal.SIGCONT)
            self.frozen.discard(pid)
        return Blow("freeze", self.number, pid, started, time.time())

    async def stop(self) -> tuple[Blow, int] | None:
        """SIGTERM the command and wait; gives its exit code."""
        pid = self.worker_pid
        if self.process is None or self.process.returncode is not None:
            return None
        started = time.time()
        self.process.terminate()
        async with asyncio.timeout(EXIT_S):
            code = await self.process.wait()
        return Blow("stop", self.number, pid or 0, started, time.time()), code

    async def keep(self) -> None:
        """Start the command again whenever its supervisor is gone."""
        while True:
            if self.process is None or self.process.returncode is not None:
                await self.start()
            assert self.process is not None
            await self.process.wait()


class Fleet:
    """Some slots before one server."""

    def __init__(
        self, server: CrashServer, folder: Path, environment: Mapping[str, str], size: int
    ) -> None:
        self._server = server
        self.slots = [
            Slot(
                number,
                Proxy(server.socket),
                {**environment, VERSION: NEW if number % 2 else OLD},
                folder / f"worker-{number}.log",
            )
            for number in range(size)
        ]
        self._keepers: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start all, and return when all are registered."""
        for slot in self.slots:
            await slot.proxy.start()
            await slot.start()
            self._keepers.append(asyncio.create_task(slot.keep()))
        await self.wait_registered(len(self.slots))

    async def wait_registered(self, count: int) -> None:
        """Return when so many workers are alive."""
        connection = await self._server.connect()
        try:
            async with asyncio.timeout(START_S):
                await until(lambda: self._alive(connection, count))
        finally:
            await connection.close()

    async def _alive(self, connection: asyncpg.Connection[asyncpg.Record], count: int) -> bool:
        return int(await connection.fetchval(ALIVE)) >= count

    def release(self) -> None:
        """Stop starting commands again."""
        for keeper in self._keepers:
            keeper.cancel()
        self._keepers.clear()

    async def stop(self) -> list[int]:
        """SIGTERM all; gives their exit codes."""
        self.release()
        ends = await asyncio.gather(*(slot.stop() for slot in self.slots))
        return [end[1] for end in ends if end is not None]

    async def abandon(self) -> None:
        """Leave nothing behind, whatever happened."""
        self.release()
        for slot in self.slots:
            for pid in list(slot.frozen):
                _send(pid, signal.SIGCONT)
            slot.kill(supervisor=True)
            await slot.proxy.stop()


ALIVE: Final = """
    select count(*) from headrace.workers
    where lost_at is null and stopped_at is null and expires_at > headrace.now()
"""


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


async def until(condition: Callable[[], Awaitable[bool]], every_s: float = 0.05) -> None:
    """Ask until the answer is yes; callers set the limit."""
    while not await condition():  # noqa: ASYNC110 - what is waited for is in another process
        await asyncio.sleep(every_s)
