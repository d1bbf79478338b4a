"""Events of what leaves: webhooks and messages of topics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.telemetry.events import Event, Level, event

if TYPE_CHECKING:
    from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxEvent(Event):
    """Base of what is told about one event that leaves; `channel` is `webhook` or `topic`."""

    channel: str
    event_id: UUID
    kind: str
    job_id: UUID | None
    endpoint: str


@event(Level.DEBUG)
class OutboxPublished(OutboxEvent):
    """A receiver has an event."""

    attempts: int
    publish_latency_ms: float


@event(Level.WARNING)
class OutboxRetried(OutboxEvent):
    """A receiver did not take an event; it is sent again."""

    attempts: int
    error: str
    retry_in_s: float


@event(Level.ERROR)
class OutboxGivenUp(OutboxEvent):
    """An event is not sent any more."""

    attempts: int
    error: str


@event(Level.WARNING)
class WebhookDisabled(Event):
    """A webhook is told nothing more: it said so, or took nothing for a day."""

    webhook_id: UUID
    tenant: str
    endpoint: str
    reason: str


@event(Level.WARNING)
class OutboxDelayed(Event):
    """What leaves is late: since when the oldest message waits or the oldest event is overdue."""

    channel: str
    oldest_age_s: float


@event(Level.INFO)
class OutboxCaughtUp(Event):
    """What leaves is not late any more."""

    channel: str
