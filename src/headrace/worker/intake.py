"""Jobs that come in by message: from a stream of their own, and what Pub/Sub gave up delivering."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from headrace.store.retention import take_duty
from headrace.worker.attending import Attending, Gate
from headrace.worker.service import PeriodicService

if TYPE_CHECKING:
    from headrace.broker.broker import Doorbell
    from headrace.broker.received import Puller
    from headrace.inbox.inbox import Inbox
    from headrace.model.incoming import Incoming
    from headrace.store.session import Session
    from headrace.worker.parts import Parts
    from headrace.worker.timing import Timing

IN_HAND: Final = 50
"""Messages of the stream of their own: few take longer than a few milliseconds each."""
SALVAGED_AT_ONCE: Final = 1_000
DUTY: Final = "undeliverable"


@dataclass(frozen=True, slots=True)
class IntakeParts:
    """What takes submitted jobs, and from where.

    Attributes:
        stream: The doorbell's, or another one.
        undeliverable: What was given up.
    """

    inbox: Inbox
    stream: Doorbell
    undeliverable: Puller


class Intake(Attending):
    """Takes submitted jobs from a subscription of their own."""

    async def answer(self, queue: str) -> None:
        """As `Attending.answer`: a ring that comes here has lost its way."""


class Salvage(PeriodicService):
    """Takes what Pub/Sub has given up delivering, or puts it aside; one worker at a time does.

    Args:
        session: A connection that others use, too.
        worker: The worker's number.
        timing: Its durations.
        parts: What takes messages, and where those are.
    """

    def __init__(self, session: Session, worker: int, timing: Timing, parts: IntakeParts) -> None:
        super().__init__(DUTY, every=timing.salvage, worker_id=str(worker), timing=timing)
        self._session, self._worker, self._parts = session, worker, parts
        self._lease = timing.salvage

    async def tick(self) -> None:
        """Take what is there, unless another worker does."""
        async with self._session.use() as connection:
            if not await take_duty(connection, DUTY, worker=self._worker, lease=self._lease):
                return
        await self._parts.undeliverable.drain(self._take, most=SALVAGED_AT_ONCE)

    async def _take(self, message: Incoming) -> bool:
        return (await self._parts.inbox.salvage(message)).is_settled


def intake_for(parts: Parts, worker: int) -> Intake | None:
    """What takes submitted jobs beside the doorbell; None where they come by that, or never."""
    intake = parts.intake
    if intake is None or intake.stream is parts.doorbell:
        return None
    return Intake(
        "inbox",
        intake.stream,
        slots=IN_HAND,
        gate=Gate(intake.inbox),
        worker=worker,
        timing=parts.timing,
    )
