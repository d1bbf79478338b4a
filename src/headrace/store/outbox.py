"""Events that leave: rows written with a job's change, taken by a relay, sent, and marked.

The rows are written by a trigger behind `job_events` (migrations/0004_outbox.sql). A relay takes a
batch with a lease, hands it to a sender, and marks what became of each. Where it dies between the
two, the lease ends and the same event is sent again under the same `event_id`: receivers see each
at least once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol

from headrace.store.sql import SQL
from headrace.store.workers import affected
from headrace.telemetry.masking import clean_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from asyncpg import Record

    from headrace.store.pool import Connection

WEBHOOK_EVENTS: Final = (
    "job.queued",
    "job.running",
    "job.completed",
    "job.failed",
    "job.cancelled",
)
"""What a webhook can be told of."""
TopicKind = Literal["results", "dead-letters"]
LEASE: Final = timedelta(seconds=60)
"""A relay that does not mark its events for so long may be dead: others take them."""
SENT_KEPT: Final = timedelta(days=7)
GIVEN_UP_KEPT: Final = timedelta(days=30)
PAGE: Final = 500


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
        error: Why not, in words without secrets; they are stored, masked and cut to 200 characters.
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
        all of them, and so does taking longer than the relay's limit of 45 s: it is cancelled then.
        """
        ...

    async def close(self) -> None:
        """Let go of connections; nothing is sent afterwards."""
        ...


# --- what a relay does ----------------------------------------------------------------------------


class Taken(NamedTuple):
    """What a claim took.

    Attributes:
        stopped_at: The endpoint that was visited last; None where none is left behind it.
    """

    events: list[Outgoing]
    stopped_at: str | None


class Failed(NamedTuple):
    """A try that failed; without a wait the event is given up."""

    event: Outgoing
    error: str
    wait: timedelta | None


async def claim_webhooks(
    connection: Connection,
    relay: UUID,
    *,
    after: str,
    endpoints: int,
    per_endpoint: int,
    busy: Mapping[str, int],
    most: int,
    per_tenant: int,
    tenants: Mapping[str, int],
) -> Taken:
    """Take events for webhooks that are due, for the time of `LEASE`.

    One whose webhook was deleted or disabled comes without a `url`.

    Args:
        connection: Of the engine.
        relay: Who takes them.
        after: The endpoint to go on behind; empty: from the first.
        endpoints: How many to visit.
        per_endpoint: Most events of one endpoint that may be under way here.
        busy: How many are, by endpoint.
        most: Events.
        per_tenant: Most events of one tenant that may be under way here.
        tenants: How many are, by tenant.
    """
    rows = await connection.fetch(
        SQL["outbox.claim_webhooks"],
        *(relay, LEASE, after, endpoints, per_endpoint, list(busy), list(busy.values()), most),
        *(per_tenant, list(tenants), list(tenants.values())),
    )
    return Taken([_outgoing(row) for row in rows if row[1] is not None], rows[0][0])


async def claim_topics(
    connection: Connection, relay: UUID, *, busy: Sequence[str], most: int
) -> list[Outgoing]:
    """Take messages that are due, at most so many of each topic that is not busy, in order."""
    rows = await connection.fetch(SQL["outbox.claim_topics"], relay, LEASE, list(busy), most)
    return [_outgoing(row) for row in rows]


def _outgoing(row: Record) -> Outgoing:
    columns = iter(row.items())
    next(columns)  # where the claim stopped
    return Outgoing(**dict(columns))


async def mark_sent(connection: Connection, sent: Sequence[tuple[Outgoing, str | None]]) -> None:
    """Receivers have these events; each comes with the id that the receiver gave it."""
    if sent:
        await connection.execute(
            SQL["outbox.mark_sent"], [event.id for event, _ in sent], [word for _, word in sent]
        )


async def mark_failed(connection: Connection, relay: UUID, failed: Sequence[Failed]) -> None:
    """Tries failed: the events are due again later, or given up. Errors are stored masked."""
    if failed:
        await connection.execute(
            SQL["outbox.mark_failed"],
            [one.event.id for one in failed],
            relay,
            [clean_text(one.error) for one in failed],
            [one.wait for one in failed],
        )


async def release_events(connection: Connection, relay: UUID, ids: Sequence[int]) -> None:
    """Give back what a relay took and will not send: others may take it at once."""
    await connection.execute(SQL["outbox.release_events"], relay, list(ids))


# --- subscriptions --------------------------------------------------------------------------------


async def open_outbox(connection: Connection) -> bool:
    """Have events written from now on; whether that is new.

    The first webhook or topic of a database does this by itself. Whoever adds one in a transaction
    that also submits jobs calls this before it, on another connection: it waits for transactions
    that submit.

    Raises:
        asyncpg.LockNotAvailableError: For 1 s others did not let it; nothing has changed.
    """
    return bool(await connection.fetchval(SQL["outbox.open_outbox"]))


async def disable_webhook(connection: Connection, webhook: UUID, reason: str) -> bool:
    """Tell a webhook nothing more, and give up what waits for it; whether it was enabled."""
    async with connection.transaction():
        found = await connection.fetchval(
            SQL["outbox.disable_webhook"], webhook, clean_text(reason)
        )
        await connection.execute(SQL["outbox.give_up_webhook"], webhook, "the webhook is disabled")
    return found is not None


async def is_silent(connection: Connection, webhook: UUID, *, since: datetime) -> bool:
    """Whether a webhook took nothing since a time."""
    return bool(await connection.fetchval(SQL["outbox.is_silent"], webhook, since))


async def drop_webhook_events(connection: Connection, webhook: UUID) -> int:
    """Delete the events of a webhook that is deleted in the same transaction; returns how many."""
    return affected(await connection.execute(SQL["outbox.drop_webhook"], webhook))


async def set_topic(connection: Connection, kind: TopicKind, name: str | None) -> None:
    """Have messages of a kind written for a topic from now on; None: for none."""
    if name is None:
        await connection.execute(SQL["outbox.unset_topic"], kind)
    else:
        await connection.execute(SQL["outbox.set_topic"], kind, name)


# --- upkeep ---------------------------------------------------------------------------------------


class Waiting(NamedTuple):
    """How far sending is behind.

    Attributes:
        topics_s: For how long the oldest message of a topic waits.
        webhooks_s: By how much the event that is most overdue for a webhook is: one that waits for
            its next try is not.
    """

    topics_s: float
    webhooks_s: float


NOTHING_WAITS: Final = Waiting(0.0, 0.0)


async def measure_outbox(connection: Connection) -> Waiting:
    """Tell how far sending is behind; zeros where nothing waits."""
    row = await connection.fetchrow(SQL["outbox.measure_outbox"])
    return NOTHING_WAITS if row is None else Waiting(*row)


async def prune_outbox(connection: Connection, *, after: int = 0, page: int = PAGE) -> OutboxPage:
    """Delete those of `page` events that were sent or given up long ago."""
    row = await connection.fetchrow(
        SQL["outbox.prune_outbox"], after, SENT_KEPT, GIVEN_UP_KEPT, page
    )
    return OutboxPage(0, None) if row is None else OutboxPage(*row)


class OutboxPage(NamedTuple):
    """One page of events that was looked at: how many were deleted, and where the next begins."""

    removed: int
    next: int | None
