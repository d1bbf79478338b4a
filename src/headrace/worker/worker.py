"""A worker: claims jobs and runs them, under one identity after another."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from headrace.worker.life import Life

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from headrace.worker.cleaning import Cleaned
    from headrace.worker.parts import Parts
    from headrace.worker.relay import Relayed
    from headrace.worker.sweeping import Swept

REPLACE_ME: Final = 70
"""Exit code that asks the supervisor for a new process."""
GC_THRESHOLD: Final = 50_000
"""Objects between two collections: a job makes a few dozen, and leaves no cycles behind."""


class Load(NamedTuple):
    """What a worker does at a moment.

    Attributes:
        running: Jobs in its hands.
        free_slots: Jobs that it could take.
        abandoned: Steps that ignored their cancellation and still run.
        unrenewed_s: Seconds since its lease was last renewed.
    """

    running: int
    free_slots: int
    abandoned: int
    unrenewed_s: float


class Worker:
    """Runs jobs until it is stopped.

    A worker that was marked lost, because it was frozen or cut off for too long, cancels everything
    it held and returns with a new identity.
    """

    def __init__(self, parts: Parts) -> None:
        """Nothing runs before `run`."""
        self._parts = parts
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self.started = asyncio.Event()
        """Set when it claims for the first time."""
        self.life: Life | None = None
        self.has_stuck_steps = False
        """Whether steps were left behind that would not stop: they end with the process alone."""
        self.on_ready: Callable[[], None] = lambda: None
        """Called when it is registered and begins to claim."""

    def stop(self) -> None:
        """Finish: running steps get the grace time, the rest is handed back; again: at once."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    @property
    def parts(self) -> Parts:
        """What it is made of, for a worker of another kind that is made of the same."""
        return self._parts

    @property
    def number(self) -> str | None:
        """Its identity, as events name it; None while it has none."""
        return str(self.life.number) if self.life is not None and self.life.has_begun else None

    def obstacles(self) -> tuple[str, ...]:
        """Why it takes no jobs now, a few words each; empty while all is well."""
        if self._stop.is_set():
            return ("it is draining",)
        if self.life is None or not self.life.has_begun:
            return ("it is starting",)
        return self.life.obstacles()

    def load(self) -> Load | None:
        """What it does now; None before it begins to claim."""
        if self.life is None or not self.life.has_begun:
            return None
        executor, concurrency = self.life.executor, self._parts.concurrency
        return Load(
            running=executor.busy,
            free_slots=max(0, concurrency - executor.busy),
            abandoned=executor.abandoned,
            unrenewed_s=self.life.presence.unrenewed_s,
        )

    async def run(self, *, until_empty: bool = False, most: int | None = None) -> int:
        """Work until stopped, drained, or (with `until_empty`) nothing is left to do.

        Args:
            until_empty: End when nothing is left that could run now.
            most: End after so many jobs, or when none is due.

        Returns:
            The exit code for the process: 0, or 70 where it should be replaced.
        """
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD, 20, 50)
        try:
            while True:
                life = self.life = Life(self._parts, most=most)
                await life.start()
                self.on_ready()
                self.started.set()
                await self._live(life, until_empty=until_empty, most=most)
                if not life.lost:
                    await life.hand_over(self._hurry)
                await life.end()
                self.has_stuck_steps = self.has_stuck_steps or life.has_stuck_steps
                if life.crowded:
                    return REPLACE_ME
                if not life.lost or self._stop.is_set():
                    return 0
        finally:
            await self.close()

    async def sweep(self, *, within_s: float) -> Swept:
        """Do once what workers do beside jobs, without running any; then `close` it.

        Raises:
            DatabaseUnavailableError: No server answered.
        """
        from headrace.worker.sweeping import sweep  # noqa: PLC0415 - seldom needed

        return await sweep(self._parts, within_s=within_s)

    async def submit_scheduled(self) -> list[UUID]:
        """Submit once what schedules are due, without running any job; then `close` it.

        Returns:
            The jobs.

        Raises:
            DatabaseUnavailableError: No server answered.
        """
        from headrace.worker.sweeping import submit_scheduled  # noqa: PLC0415 - seldom needed

        return await submit_scheduled(self._parts)

    async def relay(self, *, limit: int, within_s: float) -> Relayed:
        """Send once what is due to leave, without running any job; then `close` it.

        Args:
            limit: Events of webhooks, and as many of topics, after which it takes no more.
            within_s: Seconds after which it cuts off what is under way; that is sent again.

        Raises:
            DatabaseUnavailableError: No server answered.
        """
        from headrace.worker.relay import relay_for  # noqa: PLC0415 - seldom needed

        return await relay_for(self._parts, limit=limit, within_s=within_s)

    async def clean_up(self, *, within_s: float) -> Cleaned:
        """Delete once what is old enough, without running any job; then `close` it.

        Raises:
            DatabaseUnavailableError: No server answered.
        """
        from headrace.worker.cleaning import clean_up  # noqa: PLC0415 - seldom needed

        return await clean_up(self._parts, within_s=within_s)

    async def close(self) -> None:
        """Let go of what it holds, where it was not run."""
        await self._parts.clients.close()
        for sender in self._parts.senders.values():
            await sender.close()
        if self._parts.processes is not None:
            await self._parts.processes.close()
        self._parts.threads.shutdown(wait=False, cancel_futures=True)

    async def _live(self, life: Life, *, until_empty: bool, most: int | None) -> None:
        ends: list[asyncio.Task[Any]] = [
            asyncio.create_task(life.over.wait()),
            asyncio.create_task(self._stop.wait()),
        ]
        if most is not None:
            ends.append(asyncio.create_task(life.wait_until_spent()))
        if until_empty:
            ends.append(asyncio.create_task(life.wait_until_empty()))
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
