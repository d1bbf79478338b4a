"""One run: a subject on a fresh database, its commands as processes, its events in a file."""

import asyncio
import json
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import IO, TYPE_CHECKING, Any, Final, TypeVar

from bench.database import settle
from bench.errors import BenchError
from bench.events import Event, parse
from bench.sizes import CONCURRENCY
from bench.subjects import HOME, ROOT, Subject

if TYPE_CHECKING:
    from bench.database import Connection

POLL_S: Final = 0.002  # below one percent of the shortest drain
COMMAND_LIMIT_S: Final = 300.0
START_LIMIT_S: Final = 30.0
WAIT_LIMIT_S: Final = 120.0

Found = TypeVar("Found")


class Run:
    """A subject at work on a database of its own."""

    def __init__(self, subject: Subject, connection: "Connection", url: str, name: str) -> None:
        """Take a connection to the run's database, its URL, and a name for the run's files."""
        self.subject = subject
        self.connection = connection
        self._url = url
        self._events = HOME / "events" / f"{name}.txt"
        self._log = HOME / "logs" / f"{name}.txt"
        self._workers: list[asyncio.subprocess.Process] = []
        for file in (self._events, self._log):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"")

    async def command(self, *words: object) -> dict[str, Any]:
        """Run one command of the subject to its end and return its answer.

        Raises:
            BenchError: It failed or took too long.
        """
        arguments = ["-m", self.subject.module, *map(str, words)]
        process = await self._start(arguments, {}, stdout=asyncio.subprocess.PIPE)
        try:
            output, _ = await asyncio.wait_for(process.communicate(), COMMAND_LIMIT_S)
        except TimeoutError:
            process.kill()
            raise self._failed(f"{words[0]} took over {COMMAND_LIMIT_S:g} s") from None
        if process.returncode:
            raise self._failed(f"{words[0]} ended with {process.returncode}")
        answer: dict[str, Any] = json.loads(output.splitlines()[-1])
        return answer

    async def settle(self) -> None:
        """Have the server write everything out and be quiet."""
        await settle(self.connection)

    async def start_worker(
        self, kind: str, concurrency: int = CONCURRENCY, **environment: object
    ) -> int:
        """Start a worker and return its process group; `environment` is given as BENCH_...."""
        values = {f"BENCH_{name.upper()}": str(value) for name, value in environment.items()}
        arguments = self.subject.worker_arguments(kind, concurrency)
        worker = await self._start(arguments, values, stdout=None)
        self._workers.append(worker)
        return worker.pid

    async def start(self, *arguments: str, **environment: str) -> int:
        """Start another process of the subject, which ends with the run; its number."""
        process = await self._start(list(arguments), environment, stdout=None)
        self._workers.append(process)
        return process.pid

    async def opened(self, port: int, limit: float = START_LIMIT_S) -> None:
        """Wait until a process listens on a port of this machine.

        Raises:
            BenchError: The limit (seconds) passed.
        """
        end = monotonic() + limit
        while monotonic() < end:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(POLL_S)
            else:
                writer.close()
                return
        raise self._failed(f"nobody listened within {limit:g} s")

    def events(self) -> list[Event]:
        """What its workers have reported so far."""
        return parse(self._events.read_text()) if self._events.exists() else []

    async def until(
        self, found: Callable[[list[Event]], Found | None], limit: float = WAIT_LIMIT_S
    ) -> Found:
        """Wait until the events show something, and return it.

        Raises:
            BenchError: A worker ended by itself, or the limit (seconds) passed.
        """
        size, end = -1, monotonic() + limit
        while monotonic() < end:
            if (now := self._events.stat().st_size) != size:
                size = now
                if (value := found(self.events())) is not None:
                    return value
            if any(worker.returncode not in (None, -signal.SIGKILL) for worker in self._workers):
                raise self._failed("the worker ended by itself")
            await asyncio.sleep(POLL_S)
        raise self._failed(f"not within {limit:g} s")

    async def done(self, units: int, limit: float = WAIT_LIMIT_S) -> float:
        """Wait until so many units are durably done, and return when that was seen.

        Raises:
            BenchError: The limit (seconds) passed.
        """
        end = monotonic() + limit
        while monotonic() < end:
            if await self.connection.fetchval(self.subject.done_sql) >= units:
                return monotonic()
            await asyncio.sleep(POLL_S)
        raise self._failed(f"{units} units were not done within {limit:g} s")

    async def end(self) -> None:
        """Let every worker end in good order."""
        for worker in self._workers:
            os.killpg(worker.pid, signal.SIGTERM)
            await worker.wait()
        self._workers.clear()

    async def stop(self) -> None:
        """Kill every worker with all of its processes."""
        for worker in self._workers:
            with suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)
            await worker.wait()

    async def _start(
        self, arguments: list[str], environment: dict[str, str], *, stdout: int | None
    ) -> asyncio.subprocess.Process:
        with self._log.open("ab") as log:
            out: int | IO[bytes] = log if stdout is None else stdout
            return await asyncio.create_subprocess_exec(
                self.subject.python,
                *arguments,
                cwd=ROOT,
                env=os.environ | self._environment() | environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                start_new_session=True,
            )

    def _environment(self) -> dict[str, str]:
        return {
            "BENCH_DSN": self._url,
            "BENCH_EVENTS": str(self._events),
            "PYTHONPATH": str(ROOT),
            **self.subject.environment,
        }

    def _failed(self, what: str) -> BenchError:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return BenchError(f"{what}: {lines[-1]}" if lines else what)
