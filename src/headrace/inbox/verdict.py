"""How a message ends, and how that is told."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from headrace.inbox.message import KIND
from headrace.telemetry.events import emit, enabled
from headrace.telemetry.messaging_events import MessageReturned, MessageSettled

if TYPE_CHECKING:
    from uuid import UUID

    from headrace.model.incoming import Incoming

AWAY: Final = "the database does not answer"
DOORBELL: Final = "doorbell"
OTHER: Final = "other"
"""The kind of all messages but jobs and doorbells, where they are counted."""


class Outcome(StrEnum):
    """How a message ends.

    Besides these, doorbells are `rung`.
    """

    INSERTED = "inserted"
    """Its job is stored."""
    DUPLICATE = "duplicate"
    """Its job was stored before, and goes on."""
    STALE = "stale"
    """Its job was stored before, and has ended or is gone."""
    QUARANTINED = "quarantined"
    """It can never be taken, and is put aside."""
    RETURNED = "returned"
    """It cannot be taken now: it is not acknowledged, and comes again."""


class Verdict(NamedTuple):
    """What became of a message.

    Attributes:
        job: Its job, where it has one.
        reason: Why it was put aside or returned; empty otherwise.
        queue: To be rung for; empty where nothing was stored.
    """

    outcome: Outcome
    job: UUID | None = None
    reason: str = ""
    queue: str = ""

    @property
    def is_settled(self) -> bool:
        """Whether to acknowledge it."""
        return self.outcome is not Outcome.RETURNED

    @property
    def for_outage(self) -> bool:
        """Whether it was returned because no message can be taken now."""
        return self.outcome is Outcome.RETURNED and self.reason == AWAY


def tell(message: Incoming, verdict: Verdict) -> None:
    """Count how a message ended."""
    kind = kind_of(message)
    if verdict.outcome is Outcome.RETURNED:
        emit(MessageReturned(message_id=message.message_id, kind=kind, reason=verdict.reason))
    if enabled(MessageSettled):
        emit(
            MessageSettled(
                message_id=message.message_id,
                kind=kind,
                outcome=verdict.outcome,
                message_latency_ms=message.age_ms,
            )
        )


def kind_of(message: Incoming) -> str:
    """Of few values: it is counted by."""
    return message.kind if message.kind in {KIND, DOORBELL} else OTHER
