"""Which topics and subscriptions there are, and how they are set: data, without any call.

Doorbells and submitted jobs share one topic, so that one subscription can bring both. Where they
have a subscription each, a flood of one never delays the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

SECOND: Final = timedelta(seconds=1)
DAY: Final = timedelta(days=1)
RETRY: Final = (10 * SECOND, 600 * SECOND)
"""The wait before a message comes back: the least and the most that Pub/Sub knows."""
DELIVERIES: Final = 5
"""Deliveries after which a message is put aside as undeliverable."""
INBOX_DELIVERIES: Final = 100
"""The same for submitted jobs: a database may be away for long, and none is to be lost then."""
RESULT_ACK: Final = 60 * SECOND
PUSH_ACK: Final = 600 * SECOND
"""The longest there is: a pushed message is worked for inside its request."""
DOORBELLS: Final = 'attributes.kind = "doorbell"'
INBOX: Final = 'attributes.kind = "job"'


@dataclass(frozen=True, slots=True)
class Names:
    """The names that the settings choose.

    Attributes:
        jobs: The topic of doorbells and submitted jobs.
        results: The topic of what became of jobs.
        dead_letters: The topic of failed jobs.
        undeliverable: The topic of messages that no worker could settle.
        subscription: What workers listen at.
        ack_deadline: Time to acknowledge there, 10 to 600 s.
    """

    jobs: str = "headrace-jobs"
    results: str = "headrace-results"
    dead_letters: str = "headrace-dead-letters"
    undeliverable: str = "headrace-undeliverable"
    subscription: str = "headrace-jobs-sub"
    ack_deadline: timedelta = 60 * SECOND

    @property
    def inbox(self) -> str:
        """Where submitted jobs come in, if they have a subscription of their own."""
        return f"{self.subscription}-inbox"


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic; with `retention` its messages can be had again for so long."""

    name: str
    retention: timedelta | None = None


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Where a message goes that was delivered too often."""

    topic: str
    deliveries: int


@dataclass(frozen=True, slots=True)
class Push:
    """A subscription whose messages are sent to an address, signed for an account."""

    endpoint: str
    account: str
    audience: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A subscription; none ever expires."""

    name: str
    topic: str
    ack_deadline: timedelta
    retention: timedelta = 7 * DAY
    retry: tuple[timedelta, timedelta] | None = RETRY
    dead_letters: DeadLetters | None = None
    filter: str = ""
    ordered: bool = False
    push: Push | None = None


@dataclass(frozen=True, slots=True)
class Topology:
    """All topics and subscriptions of an installation; no two of a kind have the same name."""

    topics: tuple[Topic, ...]
    subscriptions: tuple[Subscription, ...]


def topology(names: Names, *, filtered: bool = False, push: Push | None = None) -> Topology:
    """The topics and subscriptions of an installation.

    Args:
        names: How they are called.
        filtered: Two subscriptions for workers, one of doorbells and one of submitted jobs, in
            place of the one that brings both.
        push: Where a further subscription sends what comes, for workers that are woken by
            requests.
    """
    topics = (
        Topic(names.jobs),
        Topic(names.results),
        Topic(names.dead_letters, 14 * DAY),
        Topic(names.undeliverable),
    )
    subscriptions = [
        *(_filtered(names) if filtered else (_jobs(names),)),
        _ordered(names.results),
        _ordered(names.dead_letters),
        Subscription(
            name=f"{names.undeliverable}-sub", topic=names.undeliverable, ack_deadline=RESULT_ACK
        ),
    ]
    if push is not None:
        subscriptions.append(_pushed(names, push))
    return Topology(topics, tuple(subscriptions))


def _jobs(names: Names) -> Subscription:
    return Subscription(
        name=names.subscription,
        topic=names.jobs,
        ack_deadline=names.ack_deadline,
        dead_letters=DeadLetters(names.undeliverable, DELIVERIES),
    )


def _filtered(names: Names) -> tuple[Subscription, Subscription]:
    """A doorbell is worth nothing after ten minutes; a submitted job is never given up lightly."""
    return (
        Subscription(
            name=names.subscription,
            topic=names.jobs,
            ack_deadline=names.ack_deadline,
            retention=timedelta(minutes=10),
            filter=DOORBELLS,
        ),
        Subscription(
            name=names.inbox,
            topic=names.jobs,
            ack_deadline=names.ack_deadline,
            dead_letters=DeadLetters(names.undeliverable, INBOX_DELIVERIES),
            filter=INBOX,
        ),
    )


def _ordered(topic: str) -> Subscription:
    return Subscription(name=f"{topic}-sub", topic=topic, ack_deadline=RESULT_ACK, ordered=True)


def _pushed(names: Names, push: Push) -> Subscription:
    return Subscription(
        name=f"{names.jobs}-push-sub",
        topic=names.jobs,
        ack_deadline=PUSH_ACK,
        dead_letters=DeadLetters(names.undeliverable, DELIVERIES),
        push=push,
    )
