"""A background duty of a worker that never disappears silently.

It runs in a task of its own. When it fails, ends or is cancelled by something inside it, this is
told once per reason, the worker is not ready, and the duty is started again after a wait.
"""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from headrace.errors import DatabaseUnavailableError
from headrace.store.failures import Backoff, is_unavailable
from headrace.telemetry.events import emit
from headrace.telemetry.worker_events import ServiceFailed, ServiceRecovered

if TYPE_CHECKING:
    from datetime import timedelta

    from headrace.worker.timing import Timing

JITTER: Final = 0.2
"""Part of a period by which its length varies, so that a fleet does not march in step."""


def is_outage(error: Exception) -> bool:
    """True when the database is away, and nothing is wrong with the duty itself."""
    return isinstance(error, DatabaseUnavailableError) or is_unavailable(error)


class Service(ABC):
    """Base of a duty: says what one life of it is; starting, restarting and stopping are here."""

    def __init__(self, name: str, *, worker_id: str, timing: Timing) -> None:
        """Nothing runs before `start`.

        Args:
            name: What events call it.
            worker_id: The worker whose duty it is, for the events.
            timing: The waits before a restart: short ones after the loss of the database, longer
                ones after any other failure.
        """
        self.name = name
        self.worker_id = worker_id
        self._outage = Backoff(
            timing.reconnect_first.total_seconds(), timing.reconnect_most.total_seconds()
        )
        self._defect = Backoff(
            timing.restart_first.total_seconds(), timing.restart_most.total_seconds()
        )
        self._task: asyncio.Task[None] | None = None
        self._problem: str | None = None

    @abstractmethod
    async def run(self) -> None:
        """Do the duty until cancelled, and call `worked` after each success.

        Whatever it raises ends this life only; what it holds is closed in its own `finally`.
        """

    @property
    def is_healthy(self) -> bool:
        """Whether it runs, and its last attempt did not fail."""
        return self._task is not None and not self._task.done() and self._problem is None

    @property
    def obstacle(self) -> str:
        """What is said of it while it is not healthy: words that anybody may read."""
        return f"the {self.name} does not work"

    def start(self) -> None:
        """Begin, on the running loop."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._live(), name=self.name)

    async def first_pass(self) -> None:  # noqa: B027 - most duties make no jobs
        """Return when the jobs are there that it had to submit when it began."""

    async def stop(self) -> None:
        """End; returns when the duty has let go of everything. May be called twice."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    def worked(self) -> None:
        """Say that the duty does its work: a failure before this is over."""
        self._outage.reset()
        self._defect.reset()
        if self._problem is not None:
            self._problem = None
            emit(ServiceRecovered(worker_id=self.worker_id, service=self.name))

    def failed(self, error: Exception) -> None:  # noqa: B027 - most duties do nothing more
        """Hear of a failure, before the wait; for duties that have more to do about it."""

    async def _live(self) -> None:
        while True:
            try:
                await self.run()
                error: Exception = RuntimeError("it ended by itself")
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                error = RuntimeError("it was cancelled from within")
            except Exception as raised:  # noqa: BLE001 - a duty goes on, whatever happens
                error = raised
            await asyncio.sleep(self._report(error))

    def _report(self, error: Exception) -> float:
        delay = (self._outage if is_outage(error) else self._defect).next_s()
        problem = f"{type(error).__name__}: {error}"
        if problem != self._problem:  # an outage of a minute is one line, not sixty
            emit(
                ServiceFailed(
                    worker_id=self.worker_id, service=self.name, error=problem, retry_in_s=delay
                )
            )
        self._problem = problem
        self.failed(error)
        return delay


class PeriodicService(Service):
    """A duty that is done again and again, or at once when somebody calls `wake`."""

    def __init__(
        self,
        name: str,
        *,
        every: timedelta,
        worker_id: str,
        timing: Timing,
        jitter: float = JITTER,
    ) -> None:
        """Nothing runs before `start`.

        Args:
            name: What events call it.
            every: From the end of one pass to the start of the next, before jitter.
            worker_id: The worker whose duty it is, for the events.
            timing: The waits before a restart.
            jitter: The part of `every` by which a pause may be shorter or longer, 0 to 1.
        """
        super().__init__(name, worker_id=worker_id, timing=timing)
        self.every_s = every.total_seconds()
        self._jitter = jitter
        self._woken = asyncio.Event()

    @abstractmethod
    async def tick(self) -> None:
        """Do one pass."""

    def wake(self) -> None:
        """Start the next pass at once, or right after the one that is under way."""
        self._woken.set()

    async def run(self) -> None:
        """Do pass after pass."""
        while True:
            self._woken.clear()
            await self.tick()
            self.worked()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s()):
                    await self._woken.wait()

    def _pause_s(self) -> float:
        return self.every_s * random.uniform(1 - self._jitter, 1 + self._jitter)  # noqa: S311
