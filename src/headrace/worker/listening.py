"""Answers rings that come from outside the database, beside polling, which goes on all the time."""

from __future__ import annotations

import asyncio
import contextlib
from time import monotonic
from typing import TYPE_CHECKING, Final

from headrace.telemetry.events import emit
from headrace.telemetry.messaging_events import DoorbellSilent
from headrace.worker.attending import Attending, Gate
from headrace.worker.intake import intake_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.broker.broker import Doorbell, Hearing
    from headrace.worker.claimer import Claimer
    from headrace.worker.parts import Parts
    from headrace.worker.timing import Timing

ANSWER_S: Final = 2.0
"""A ring is over after so long, whatever the look for jobs does: nobody holds it for a job."""


class Listening(Attending):
    """Makes one claim attempt for each ring, and opens the stream again when it is closed or deaf.

    Args:
        doorbell: What it listens at.
        claimer: Whose attempts.
        queues: Which queues the worker serves.
        slots: Jobs at once.
        pass_on: Rings for a queue once more, for work that the claim left behind.
        gate: Takes submitted jobs that come in beside the rings; None gives them back.
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
        gate: Gate | None,
        worker: int,
        timing: Timing,
    ) -> None:
        super().__init__("doorbell", doorbell, slots=slots, gate=gate, worker=worker, timing=timing)
        self._claimer, self._queues, self._pass_on = claimer, frozenset(queues), pass_on

    def is_deaf(self, hearing: Hearing) -> bool:
        """As `Attending.is_deaf`: there was work, and it was found by polling."""
        silent_s = monotonic() - hearing.heard_at
        if silent_s <= self._silence_s or self._claimer.took_at <= hearing.heard_at:
            return False
        emit(DoorbellSilent(worker_id=self.worker_id, silent_s=round(silent_s, 3)))
        return True

    async def answer(self, queue: str) -> None:
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


def streams_of(parts: Parts, claimer: Claimer, worker: int) -> list[Attending]:
    """The streams of messages that a worker has open."""
    streams = listening_for(parts, claimer, worker), intake_for(parts, worker)
    return [stream for stream in streams if stream is not None]


def listening_for(parts: Parts, claimer: Claimer, worker: int) -> Listening | None:
    """What hears rings from outside the database; None where none come."""
    if parts.doorbell is None or parts.broker is None:
        return None
    intake = parts.intake
    shares = intake is not None and intake.stream is parts.doorbell
    return Listening(
        parts.doorbell,
        claimer,
        queues=parts.queues,
        slots=parts.concurrency,
        pass_on=parts.broker.ring,
        gate=Gate(intake.inbox) if intake is not None and shares else None,
        worker=worker,
        timing=parts.timing,
    )
