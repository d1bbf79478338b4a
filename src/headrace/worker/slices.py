"""A worker that lives only while somebody waits for it: one life, one job, one slice for each call.

Between two calls it holds no identity, no connection of its own and no timer, so its process may be
frozen there for as long as anybody likes. What is expensive to open stays: clients of steps, their
threads and processes, and the pool.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from headrace.errors import DatabaseUnavailableError
from headrace.worker.sliced import SlicedLife, fitting, tell_too_long
from headrace.worker.worker import REPLACE_ME, Load, Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from headrace.worker.parts import Parts

START_S: Final = 10.0
"""A database that lets no worker sign on for so long is taken for away."""
CLAIM_S: Final = 10.0
"""The same for a claim."""
GRACE: Final = timedelta(seconds=6)
"""Steps that run when the process is to end get no longer: some platforms kill it after 10 s."""
STOP_S: Final = 15.0
"""What has not ended so long after its slice is left behind: its database is away."""
RELAY_MOST: Final = 1_000
RELAY_S: Final = 5.0
"""What is due to leave is sent before a call returns, but for no longer than this."""
LAST_RELAY_S: Final = 0.5
"""The same where the process is to end."""


class Worked(NamedTuple):
    """What a call did.

    Attributes:
        taken: Jobs that were claimed.
        is_settled: Whether nobody has to call again for this: the job ended, waits for a time of
            its own, or others were rung for.
    """

    taken: int
    is_settled: bool


class BusyError(Exception):
    """No call can be taken now."""


class SliceWorker(Worker):
    """Runs one job for each call of `work`, as many at once as there are slots.

    Args:
        parts: What it is made of; its doorbell is not listened to.
        slice_s: Seconds that the steps of a call may take.
    """

    def __init__(self, parts: Parts, *, slice_s: float) -> None:
        pipelines, too_long = fitting(
            parts.pipelines, slice_s=slice_s, step_timeout_s=parts.limits.step_timeout_s
        )
        grace = min(parts.timing.shutdown_grace, GRACE)
        super().__init__(
            replace(
                parts,
                pipelines=pipelines,
                listen=False,
                doorbell=None,
                intake=None,
                timing=replace(parts.timing, shutdown_grace=grace),
            )
        )
        self._slice_s, self._too_long = slice_s, too_long
        self._lives: set[SlicedLife] = set()
        self._calls = 0
        self._over = asyncio.Event()
        self._quiet = asyncio.Event()
        self._quiet.set()
        tell_too_long(too_long, slice_s)

    @property
    def is_draining(self) -> bool:
        """Whether it takes no calls any more."""
        return self._stop.is_set() or self._over.is_set()

    def obstacles(self) -> tuple[str, ...]:
        """As `Worker.obstacles`; between calls nothing is in its way."""
        if self.is_draining:
            return ("it is draining",)
        if not self._parts.pipelines:
            return ("no pipeline fits into a request",)
        return ()

    def load(self) -> Load:
        """As `Worker.load`."""
        lives = [life for life in self._lives if life.has_begun]
        return Load(
            running=sum(life.executor.busy for life in lives),
            free_slots=max(0, self._parts.concurrency - len(self._lives)),
            abandoned=sum(life.executor.abandoned for life in lives),
            unrenewed_s=max((life.presence.unrenewed_s for life in lives), default=0.0),
        )

    async def run(self, *, until_empty: bool = False, most: int | None = None) -> int:  # noqa: ARG002
        """Be there until stopped, and until the calls that are under way have returned.

        Returns:
            As `Worker.run`.
        """
        self.on_ready()
        self.started.set()
        ends = [asyncio.create_task(one.wait()) for one in (self._stop, self._over)]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            await self._quiet.wait()
        finally:
            for end in ends:
                end.cancel()
            await self.close()
        return REPLACE_ME if self._over.is_set() and not self._stop.is_set() else 0

    @contextlib.asynccontextmanager
    async def call(self) -> AsyncIterator[None]:
        """A call, inside an `async with` block; at its end what is due to leave is sent.

        Raises:
            BusyError: No calls are taken any more.
        """
        if self.is_draining:
            raise BusyError
        self._calls += 1
        self._quiet.clear()
        try:
            yield
            await self._finish()
        finally:
            self._calls -= 1
            if not self._calls:
                self._quiet.set()

    async def work(self, gone: asyncio.Event, *, queue: str | None = None) -> Worked:
        """Take one due job, if there is one, and work on it until it ends or the slice does.

        Args:
            gone: Set when nobody waits for the answer any more: the job is handed back.
            queue: Whose ring this answers.

        Raises:
            BusyError: All slots are taken.
            DatabaseUnavailableError: No server answered.
        """
        if len(self._lives) >= self._parts.concurrency:
            raise BusyError
        life = SlicedLife(replace(self._parts, concurrency=1), slice_s=self._slice_s)
        self._lives.add(life)
        try:
            await self._begin(life)
            return await self._live_once(life, gone, queue)
        finally:
            self._lives.discard(life)
            self.has_stuck_steps = self.has_stuck_steps or (life.has_begun and life.has_stuck_steps)
            if life.crowded:  # a step does not stop: the next process is a clean one
                self._over.set()

    async def _finish(self) -> None:
        """Send events and rings: nothing does that between calls."""
        within_s = LAST_RELAY_S if self.is_draining else RELAY_S
        if self._parts.senders:
            with contextlib.suppress(DatabaseUnavailableError):
                await self.relay(limit=RELAY_MOST, within_s=within_s)
        if self._parts.broker is not None:
            await self._parts.broker.close()

    async def _begin(self, life: SlicedLife) -> None:
        try:
            async with asyncio.timeout(START_S):
                await life.start()
        except TimeoutError:
            raise DatabaseUnavailableError(f"no answer within {START_S:g} s") from None

    async def _live_once(self, life: SlicedLife, gone: asyncio.Event, queue: str | None) -> Worked:
        try:
            async with asyncio.timeout(CLAIM_S):
                look = await life.claimer.look()
            if look.more and self._parts.broker is not None:
                self._parts.broker.ring(queue or self._parts.queues[0])
            if look.taken:
                await self._wait(life, gone)
        except TimeoutError:
            raise DatabaseUnavailableError(f"no claim within {CLAIM_S:g} s") from None
        finally:
            if not life.lost:
                await life.hand_over(gone if gone.is_set() else self._hurry)
            await life.end()
        was_cut = self.is_draining or gone.is_set() or life.crowded
        handed_back = bool(life.executor.handed_back) and was_cut
        return Worked(look.taken, is_settled=not (life.lost or life.executor.runs or handed_back))

    async def _wait(self, life: SlicedLife, gone: asyncio.Event) -> None:
        """Return when the job has left, or when it has to."""
        ends = [
            asyncio.create_task(one)
            for one in (life.wait_until_spent(), life.over.wait(), self._stop.wait(), gone.wait())
        ]
        try:
            limit_s = self._slice_s + STOP_S
            await asyncio.wait(ends, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
