"""Answers rings that come from outside the database, beside polling, which goes on all the time."""

from __future__ import annotations

import asyncio
import contextlib
from time import monotonic
from typing import TYPE_CHECKING, Final

from headrace.errors import BrokerUnavailableError
from headrace.telemetry.events import emit
from headrace.telemetry.messaging_events import DoorbellSilent
from headrace.worker.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.broker.broker import Doorbell, Hearing
    from headrace.worker.claimer import Claimer
    from headrace.worker.parts import Parts
    from headrace.worker.timing import Timing

ANSWER_S: Final = 2.0
"""A ring is over after so long, whatever the look for jobs does: nobody holds it for a job."""
LOOKS: Final = 6
"""In the time after which silence is suspicious, this often somebody looks."""
UP_S: Final = 1.0
"""A stream that has stood for so long is open: one that is refused ends within milliseconds."""


class Listening(Service):
    """Makes one claim attempt for each ring, and opens the stream again when it is closed or deaf.

    Args:
        doorbell: What it listens at.
        claimer: Whose attempts.
        queues: Which queues the worker serves.
        slots: Jobs at once.
        pass_on: Rings for a queue once more, for work that the claim left behind.
        worker: The worker's number.
        timing: Its durations.
    """

    def __init__(
        self,
        doorbell: Doorbell,
        claimer: Claimer,
        *,
        queues: tuple[str, ...],
        slots: int,
        pass_on: Callable[[str], None],
        worker: int,
        timing: Timing,
    ) -> None:
        super().__init__("doorbell", worker_id=str(worker), timing=timing)
        self._doorbell, self._claimer = doorbell, claimer
        self._queues, self._slots, self._pass_on = frozenset(queues), slots, pass_on
        self._silence_s = timing.silence.total_seconds()
        self._why = ""
        self._leaving: asyncio.Task[None] | None = None

    def leave(self) -> None:
        """Begin to end, without waiting: rings are for those who still claim."""
        leaving, self._task = self._task, None
        if leaving is not None:
            self._leaving = leaving
            leaving.cancel()

    async def stop(self) -> None:
        """As `Service.stop`."""
        await super().stop()
        if self._leaving is not None:
            await asyncio.wait({self._leaving})

    @property
    def obstacle(self) -> str:
        """As `Service.obstacle`, with what has to be put right."""
        return f"{super().obstacle}: {self._why}" if self._why else super().obstacle

    def failed(self, error: Exception) -> None:
        """Keep what may be told of a failure."""
        self._why = str(error) if isinstance(error, BrokerUnavailableError) else ""

    async def run(self) -> None:
        """Listen until stopped, on one stream after the other."""
        while True:
            async with self._doorbell.open(self._answer, slots=self._slots) as hearing:
                await self._hear(hearing)

    async def _hear(self, hearing: Hearing) -> None:
        """Return when another stream is to be opened."""
        ended, opened_at = asyncio.ensure_future(hearing.ended()), monotonic()
        look_s = min(UP_S, self._silence_s / LOOKS)
        try:
            while True:
                done, _ = await asyncio.wait({ended}, timeout=look_s)
                if done:
                    ended.result()
                    if monotonic() - opened_at < UP_S:
                        raise BrokerUnavailableError("the stream of rings ends when it begins")
                    return
                self.worked()
                silent_s = monotonic() - hearing.heard_at
                if silent_s > self._silence_s and self._claimer.took_at > hearing.heard_at:
                    emit(DoorbellSilent(worker_id=self.worker_id, silent_s=round(silent_s, 3)))
                    return
        finally:
            ended.cancel()
            await asyncio.wait({ended})

    async def _answer(self, queue: str) -> None:
        """Look for due jobs, if there is a slot for one; else they stay in the database."""
        if queue and queue not in self._queues:
            return
        if not self._claimer.has_room:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                look = await self._claimer.look()
                if look.more and queue:
                    self._pass_on(queue)


def listening_for(parts: Parts, claimer: Claimer, worker: int) -> Listening | None:
    """What hears rings from outside the database; None where none come."""
    if parts.doorbell is None or parts.broker is None:
        return None
    return Listening(
        parts.doorbell,
        claimer,
        queues=parts.queues,
        slots=parts.concurrency,
        pass_on=parts.broker.ring,
        worker=worker,
        timing=parts.timing,
    )
