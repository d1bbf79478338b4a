"""Events that leave: rows written with a job's change, taken by a relay, sent, and marked.

The rows are written by a trigger behind `job_events` (migrations/0004_outbox.sql). A relay takes a
batch with a lease, hands it to a sender, and marks what became of each. Where it dies between the
two, the lease ends and the same event is sent again under the same `event_id`: receivers see each
at least once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta
    from uuid import UUID

WEBHOOK_EVENTS: Final = (
    "job.queued",
    "job.running",
    "job.completed",
    "job.failed",
    "job.cancelled",
)
"""What a webhook can be told of."""
TOPIC_KINDS: Final = ("results", "dead-letters")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """An event that is to be sent, and where to.

    Attributes:
        id: Of its row.
        event_id: Stays the same however often it is sent.
        kind: `job.completed` and the like for webhooks; `result`, `dead_letter` for topics.
        endpoint: What limits count by: scheme, host and port of a webhook, the name of a topic.
        payload: JSON text, to be sent as it is.
        attributes: JSON text of an object of strings; None for webhooks.
        ordering_key: Of a topic's message; events of one key are sent in order.
        attempts: Tries that failed before.
        webhook: Its id; None for topics.
        url: Of the webhook.
        key_generation: Of the key that signs.
        previous_until: Until when signatures by the generation before are sent, too.
        topic: Its name; None for webhooks.
    """

    id: int
    event_id: UUID
    kind: str
    endpoint: str
    payload: str
    attributes: str | None
    ordering_key: str | None
    attempts: int
    created_at: datetime
    tenant: str
    job: UUID | None
    run: int | None
    webhook: UUID | None
    url: str | None
    key_generation: int | None
    previous_until: datetime | None
    topic: str | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one event.

    Attributes:
        outcome: `sent`; `retry`: later, after `after` or what the relay's schedule says; `gone`:
            never, and its webhook is disabled.
        error: Why not, in words without secrets; they are stored, masked and cut to 500 characters.
    """

    outcome: Literal["sent", "retry", "gone"]
    message_id: str | None = None
    error: str | None = None
    after: timedelta | None = None

    @classmethod
    def sent(cls, message_id: str | None = None) -> Delivery:
        """The receiver has it."""
        return cls("sent", message_id=message_id)

    @classmethod
    def retry(cls, error: str, after: timedelta | None = None) -> Delivery:
        """It may work later: after this time where the receiver named one."""
        return cls("retry", error=error, after=after)

    @classmethod
    def gone(cls, error: str) -> Delivery:
        """The receiver wants no more: give up, and disable its webhook."""
        return cls("gone", error=error)


class Sender(Protocol):
    """Sends events of one kind of receiver; made once a process."""

    async def send(self, events: Sequence[Outgoing]) -> Sequence[Delivery]:
        """Send events to one receiver; their outcomes in the same order.

        Webhooks come one at a time, several calls at once; messages of a topic come in batches in
        the order of their keys, one call of a topic at a time. What it raises counts as `retry` for
        all of them, and so does taking longer than `SEND_LIMIT`: it is cancelled then.
        """
        ...
