"""Events of messages: what is published, what comes in, and the doorbell by Pub/Sub."""

from __future__ import annotations

from headrace.telemetry.events import Event, Level, event
from headrace.telemetry.worker_events import WorkerEvent


@event(Level.DEBUG)
class MessagesPublished(Event):
    """One request published messages to a topic."""

    topic: str
    messages: int
    publish_latency_ms: float


@event(Level.WARNING)
class PublishSlow(Event):
    """Messages were published, but that took over 30 s; retries are counted in."""

    topic: str
    messages: int
    took_s: float


@event(Level.WARNING)
class RingsLost(Event):
    """Rings cannot be published: workers find jobs by polling. Told once for each reason."""

    topic: str
    error: str


@event(Level.INFO)
class RingsResumed(Event):
    """Rings are published again."""

    topic: str


@event(Level.DEBUG)
class MessageSettled(Event):
    """A message is done with: rung, inserted, duplicate, stale, quarantined, or returned."""

    message_id: str
    kind: str
    outcome: str
    message_latency_ms: float


@event(Level.WARNING)
class MessagePutAside(Event):
    """A message that submits a job can never be taken: it is in quarantine."""

    message_id: str
    kind: str
    priority: int | None
    source: str | None
    reason: str


@event(Level.WARNING)
class MessageReturned(Event):
    """A message came in that nothing here can settle: it will be delivered again, elsewhere too."""

    message_id: str
    kind: str
    reason: str


@event(Level.WARNING)
class DoorbellSilent(WorkerEvent):
    """Nothing was heard for a minute although there was work: the stream is opened again."""

    silent_s: float
