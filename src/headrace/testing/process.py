"""A worker in a process of its own: for tests that kill, freeze or stop it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from dataclasses import fields
from typing import IO, TYPE_CHECKING, Final, Self

from headrace.store.failpoints import VARIABLE
from headrace.testing.orders import Orders

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.worker.timing import Timing

START_S: Final = 30.0
"""For importing the app, too."""
TAIL: Final = 4_000


class WorkerProcess:
    """A worker process; it never outlives the test's process.

    Attributes:
        number: The worker's identity; None where it did not come to claim.
    """

    def __init__(self, process: asyncio.subprocess.Process, output: IO[bytes]) -> None:
        self._process, self._output = process, output
        self.number: int | None = None

    @classmethod
    async def start(
        cls,
        orders: Orders,
        *,
        failpoint: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Self:
        """Start the process; nothing is waited for."""
        given = {**os.environ, **(environment or {})}
        given.pop(VARIABLE, None)
        if failpoint is not None:
            given[VARIABLE] = failpoint
        output = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `_close`
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "headrace.testing.child", orders.write(),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=output,
            env=given,
        )  # fmt: skip
        return cls(process, output)

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def output(self) -> str:
        """The end of what it logged."""
        self._output.seek(0)
        return self._output.read()[-TAIL:].decode(errors="replace")

    async def wait_until_started(self) -> None:
        """Return when it claims.

        Raises:
            RuntimeError: It ended before; the text is what it logged.
        """
        assert self._process.stdout is not None  # noqa: S101 - `start` made it
        async with asyncio.timeout(START_S):
            line = await self._process.stdout.readline()
        if not line:
            code = await self._process.wait()
            raise RuntimeError(f"the worker ended with {code} before it claimed:\n{self.output}")
        self.number = int(line)

    def send_signal(self, number: int) -> None:
        """Send a signal, as SIGTERM, SIGSTOP or SIGCONT."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """As a crash."""
        self._process.kill()

    async def wait(self, timeout: float = START_S) -> int:
        """Wait for its end; its exit code, or minus the signal that ended it.

        Raises:
            TimeoutError: It lives on.
        """
        async with asyncio.timeout(timeout):
            return await self._process.wait()

    async def close(self) -> None:
        """End it, if need be by force."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGKILL)
            await self._process.wait()
        transport = getattr(self._process, "_transport", None)
        if transport is not None:
            transport.close()
        self._output.close()


def seconds_of(timing: Timing) -> dict[str, float]:
    """A timing as JSON can say it."""
    return {field.name: getattr(timing, field.name).total_seconds() for field in fields(timing)}
