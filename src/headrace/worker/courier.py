"""Takes events from the outbox, hands them to senders, and marks what became of them.

Nothing here waits for a receiver: what is under way runs in tasks of its own, and what landed is
marked in groups. A courier that dies leaves leases behind; when those end, others send the same
events under the same ids.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal, TypedDict
from uuid import uuid4

from headrace.store.failpoints import hit
from headrace.store.outbox import (
    Delivery,
    Failed,
    claim_topics,
    claim_webhooks,
    disable_webhook,
    is_silent,
    mark_failed,
    mark_sent,
    release_events,
)
from headrace.telemetry.events import emit
from headrace.telemetry.outbox_events import (
    OutboxGivenUp,
    OutboxPublished,
    OutboxRetried,
    WebhookDisabled,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from headrace.store.outbox import Outgoing, Sender
    from headrace.store.pool import HeldConnection
    from headrace.store.session import Session

Channel = Literal["webhook", "topic"]
SEND_LIMIT_S: Final = 45.0
"""Sending takes no longer, well within the lease: no other relay has the event before."""
WEBHOOK_WAITS: Final = (
    timedelta(seconds=5),
    timedelta(minutes=1),
    timedelta(minutes=10),
    timedelta(hours=1),
    timedelta(hours=3),
    timedelta(hours=8),
    timedelta(hours=11, minutes=49),
)
"""After the first, second, ... failed try for a webhook: 8 tries in 24 h, then it is given up."""
TOPIC_WAIT: Final = timedelta(seconds=1)
TOPIC_WAIT_MOST: Final = timedelta(seconds=300)
"""Messages of topics are tried for ever, after waits that double up to this one."""
ASKED_MOST: Final = timedelta(hours=1)
"""A receiver may ask for a longer wait, but not for a longer one than this."""
JITTER: Final = 0.1
BATCH: Final = 100
"""Messages of one topic in one call; also the events for webhooks that are under way at once."""
PER_TENANT: Final = BATCH // 4
"""Events for webhooks of one tenant that are under way at once, to whatever hosts."""
VISITED: Final = 200
"""Endpoints that one claim looks at."""
NOT_THERE: Final = "the webhook is deleted or disabled"


class Courier:
    """One process's share of the sending.

    Attributes:
        taken, sent, retried, given_up: How many events so far.
        landed: Set when something that was under way has an outcome that is to be marked.
    """

    def __init__(
        self, session: Session, senders: Mapping[str, Sender], *, per_endpoint: int
    ) -> None:
        """Nothing is taken before `take`.

        Args:
            session: The connection to use; others may use it in between.
            senders: What sends, by channel; nothing is taken for a channel without one.
            per_endpoint: Most events on their way to one endpoint of webhooks.
        """
        self.id = uuid4()
        self.taken = self.sent = self.retried = self.given_up = 0
        self.landed = asyncio.Event()
        self._session, self._senders, self._per_endpoint = session, senders, per_endpoint
        self._after = ""
        self._busy: Counter[str] = Counter()
        self._tenants: Counter[str] = Counter()
        self._topics: set[str] = set()
        self._holds: dict[str, _Hold] = {}
        self._flights: dict[asyncio.Task[None], Sequence[Outgoing]] = {}
        self._sent: list[tuple[Outgoing, str | None]] = []
        self._failed: list[Failed] = []
        self._gone: list[tuple[Failed, bool]] = []

    @property
    def under_way(self) -> int:
        """Calls of senders that have not returned."""
        return len(self._flights)

    @property
    def is_at_start(self) -> bool:
        """Whether the next look at webhooks begins with the first endpoint."""
        return not self._after

    # --- taking -----------------------------------------------------------------------------------

    async def take(self, most: int = BATCH) -> bool:
        """Take some of what is due and send it; whether there are endpoints not yet looked at.

        Args:
            most: Events of one channel.
        """
        more = False
        if "webhook" in self._senders:
            more = await self._take_webhooks(most)
        if "topic" in self._senders:
            more = await self._take_topics(most) or more
        return more

    async def _take_webhooks(self, most: int) -> bool:
        room = min(most, BATCH - self._busy.total())
        if room <= 0:
            return False  # a landing says when
        async with self._session.use() as connection:
            taken = await claim_webhooks(
                connection,
                self.id,
                after=self._after,
                endpoints=VISITED,
                per_endpoint=self._per_endpoint,
                busy=self._busy,
                most=room,
                per_tenant=PER_TENANT,
                tenants=self._tenants,
            )
        self._after = taken.stopped_at or ""
        self.taken += len(taken.events)
        for event in taken.events:
            if event.url is None:
                self._failed.append(Failed(event, NOT_THERE, None))
                self.landed.set()
            else:
                self._busy[event.endpoint] += 1
                self._tenants[event.tenant] += 1
                self._start("webhook", event.endpoint, [event])
        return taken.stopped_at is not None

    async def _take_topics(self, most: int) -> bool:
        now = asyncio.get_running_loop().time()
        held = [topic for topic, hold in self._holds.items() if hold.until > now]
        async with self._session.use() as connection:
            events = await claim_topics(
                connection, self.id, busy=[*self._topics, *held], most=min(most, BATCH)
            )
        self.taken += len(events)
        batches: dict[str, list[Outgoing]] = {}
        for event in events:
            batches.setdefault(event.endpoint, []).append(event)
        for topic, batch in batches.items():
            self._topics.add(topic)
            self._start("topic", topic, batch)
        return False  # a landing says when

    # --- sending ----------------------------------------------------------------------------------

    def _start(self, channel: Channel, endpoint: str, events: Sequence[Outgoing]) -> None:
        task = asyncio.get_running_loop().create_task(self._fly(channel, endpoint, events))
        self._flights[task] = events
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._flights.pop(task, None)
        self.landed.set()

    async def _fly(self, channel: Channel, endpoint: str, events: Sequence[Outgoing]) -> None:
        began = asyncio.get_running_loop().time()
        try:
            deliveries = await _send(self._senders[channel], events)
            hit("after_send")
            took_ms = 1_000 * (asyncio.get_running_loop().time() - began)
            for event, delivery in zip(events, deliveries, strict=True):
                self._note(channel, event, delivery, took_ms)
            if channel == "topic":
                self._hold(endpoint, failed=all(one.outcome != "sent" for one in deliveries))
        finally:
            if channel == "topic":
                self._topics.discard(endpoint)
            else:
                _leave(self._busy, endpoint)
                _leave(self._tenants, events[0].tenant)

    def _hold(self, topic: str, *, failed: bool) -> None:
        """Leave a topic that takes nothing alone for a while, instead of trying all that waits."""
        if not failed:
            self._holds.pop(topic, None)
            return
        hold = self._holds.setdefault(topic, _Hold())
        wait = _topic_wait(hold.failures)
        hold.failures += 1
        hold.until = asyncio.get_running_loop().time() + wait.total_seconds()

    def _note(self, channel: Channel, event: Outgoing, delivery: Delivery, took_ms: float) -> None:
        common: _Told = {
            "channel": channel,
            "event_id": event.event_id,
            "kind": event.kind,
            "job_id": event.job,
            "endpoint": event.endpoint,
            "attempts": event.attempts + 1,
        }
        if delivery.outcome == "sent":
            self.sent += 1
            self._sent.append((event, delivery.message_id))
            emit(OutboxPublished(**common, publish_latency_ms=round(took_ms, 3)))
            return
        error = delivery.error or "no reason given"
        wait = None if delivery.outcome == "gone" else _wait(channel, event, delivery.after)
        failed = Failed(event, error, wait)
        self._failed.append(failed)
        if wait is not None:
            self.retried += 1
            retry_in_s = round(wait.total_seconds(), 3)
            emit(OutboxRetried(**common, error=error, retry_in_s=retry_in_s))
            return
        self.given_up += 1
        emit(OutboxGivenUp(**common, error=error))
        if event.webhook is not None:
            self._gone.append((failed, delivery.outcome == "gone"))

    # --- marking ----------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Mark what has landed; where the database is away it stays to be marked."""
        self.landed.clear()
        if not (self._sent or self._failed or self._gone):
            return
        async with self._session.use() as connection:
            sent = self._sent.copy()
            await mark_sent(connection, sent)
            del self._sent[: len(sent)]
            failed = self._failed.copy()
            await mark_failed(connection, self.id, failed)
            del self._failed[: len(failed)]
            while self._gone:
                one, by_itself = self._gone[0]
                await self._disable(connection, one, by_itself=by_itself)
                del self._gone[0]

    async def _disable(self, connection: HeldConnection, one: Failed, *, by_itself: bool) -> None:
        """Disable a webhook that said so, or took nothing while an event used up its tries."""
        event = one.event
        if event.webhook is None:
            return
        if not by_itself and not await is_silent(connection, event.webhook, since=event.created_at):
            return
        reason = one.error if by_itself else f"no delivery for a day: {one.error}"
        if await disable_webhook(connection, event.webhook, reason):
            emit(
                WebhookDisabled(
                    webhook_id=event.webhook,
                    tenant=event.tenant,
                    endpoint=event.endpoint,
                    reason=reason,
                )
            )

    async def close(self, *, within_s: float) -> None:
        """Wait for what is under way, cut off the rest, mark what landed and give back the others.

        Raises:
            DatabaseUnavailableError: No server answered; the leases end by themselves.
        """
        if self._flights:
            await asyncio.wait(list(self._flights), timeout=within_s)
        left = [event.id for events in self._flights.values() for event in events]
        flights = list(self._flights)
        for flight in flights:
            flight.cancel()
        if flights:
            await asyncio.wait(flights)
        await self.settle()
        if left:
            async with self._session.use() as connection:
                await release_events(connection, self.id, left)


class _Told(TypedDict):
    """What every event about one that leaves says."""

    channel: str
    event_id: UUID
    kind: str
    job_id: UUID | None
    endpoint: str
    attempts: int


class _Hold:
    """For how long a topic is left alone."""

    __slots__ = ("failures", "until")

    def __init__(self) -> None:
        self.failures, self.until = 0, 0.0


def _leave(counts: Counter[str], name: str) -> None:
    counts[name] -= 1
    if not counts[name]:
        del counts[name]


async def _send(sender: Sender, events: Sequence[Outgoing]) -> Sequence[Delivery]:
    try:
        async with asyncio.timeout(SEND_LIMIT_S):
            deliveries = await sender.send(events)
    except TimeoutError:
        return [Delivery.retry(f"not sent within {SEND_LIMIT_S:.0f} s")] * len(events)
    except Exception as error:  # noqa: BLE001 - whatever a sender does, the others go on
        return [Delivery.retry(f"{type(error).__name__}: {error}")] * len(events)
    if len(deliveries) != len(events):
        defect = f"the sender gave {len(deliveries)} outcomes for {len(events)} events"
        return [Delivery.retry(defect)] * len(events)
    return deliveries


def _wait(channel: Channel, event: Outgoing, asked: timedelta | None) -> timedelta | None:
    """Until the next try; None where there is none."""
    if channel == "topic":
        planned = _topic_wait(event.attempts)
    elif event.attempts < len(WEBHOOK_WAITS):
        planned = WEBHOOK_WAITS[event.attempts]
    else:
        return None
    if asked is not None:
        planned = max(planned, min(asked, ASKED_MOST))
    return planned * random.uniform(1, 1 + JITTER)  # noqa: S311 - no secret


def _topic_wait(failures: int) -> timedelta:
    return min(TOPIC_WAIT_MOST, TOPIC_WAIT * (1 << min(failures, 16)))
