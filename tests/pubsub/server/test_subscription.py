"""Anything in any order: what the calls of many clients do to one subscription."""

from __future__ import annotations

import itertools
import random

import pytest

from headrace.testing.pubsub.consumer import Consumer
from headrace.testing.pubsub.exchange import Exchange
from headrace.testing.pubsub.held import Held
from headrace.testing.pubsub.injection import Faults
from headrace.testing.pubsub.settings import complete
from headrace.testing.pubsub.wire import PubsubMessage, Subscription

TOPIC = "projects/p/topics/jobs"
KEYS = ("", "a", "b", "c")


class Crowd:
    """Three clients that do whatever comes into their heads, and note what they were given."""

    def __init__(self, seed: int, *, is_ordered: bool, is_exactly_once: bool) -> None:
        self.random = random.Random(seed)  # noqa: S311 - draws what is done next
        self._exchange = Exchange(Faults(seed), itertools.count(1), 1)
        self._exchange.ensure_topic(TOPIC)
        proto = Subscription(
            name="projects/p/subscriptions/sub",
            topic=TOPIC,
            enable_message_ordering=is_ordered,
            enable_exactly_once_delivery=is_exactly_once,
        )
        complete(proto, 1)
        self.subscription = self._exchange.subscribe(proto)
        self._clients = [Consumer(most_messages=most) for most in (1, 3, 0)]
        self.subscription.consumers.extend(self._clients)
        self._ack_ids: list[str] = []
        self.published = 0
        self.first_deliveries: dict[str, list[int]] = {key: [] for key in KEYS}

    def step(self) -> None:
        act = self.random.choice([self.publish, self.publish, self.take, self.acknowledge])
        act = self.random.choice([act, act, self.give_back, self.expire])
        act()

    def publish(self) -> None:
        key = self.random.choice(KEYS)
        message = PubsubMessage(data=b"%d" % self.published, ordering_key=key)
        self._exchange.publish(self._exchange.topic(TOPIC), [message])
        self.published += 1

    def take(self) -> None:
        client = self.random.choice(self._clients)
        for held in self.subscription.take(client, self.random.randint(1, 5)):
            self._ack_ids.append(held.ack_ids[-1])
            self._note(held)

    def _note(self, held: Held) -> None:
        seen = self.first_deliveries[held.message.ordering_key]
        if int(held.message.data) not in seen:
            seen.append(int(held.message.data))

    def acknowledge(self) -> None:
        if self._ack_ids:
            self.subscription.acknowledge(self.random.choice(self._ack_ids))

    def give_back(self) -> None:
        if self._ack_ids:
            self.subscription.extend(self.random.choice(self._ack_ids), 0)

    def expire(self) -> None:
        self.subscription.expire_all()

    def finish(self) -> None:
        """Behave: acknowledge all that comes, until there is nothing more."""
        self.subscription.expire_all()
        for _ in range(2 * self.published + 10):
            for client in self._clients:
                for held in self.subscription.take(client, 100):
                    self._note(held)
                    self.subscription.acknowledge(held.ack_ids[-1])


@pytest.mark.parametrize("is_exactly_once", [False, True])
@pytest.mark.parametrize("is_ordered", [False, True])
@pytest.mark.parametrize("seed", range(10))
class TestSubscription:
    async def test_nothing_is_lost_and_the_order_of_a_key_is_kept(
        self, seed: int, *, is_ordered: bool, is_exactly_once: bool
    ) -> None:
        crowd = Crowd(seed, is_ordered=is_ordered, is_exactly_once=is_exactly_once)
        for _ in range(300):
            crowd.step()
        crowd.finish()
        assert crowd.subscription.backlog == 0
        assert crowd.subscription.counts.received == crowd.published
        seen = crowd.first_deliveries
        if is_ordered:
            assert [seen[key] for key in KEYS[1:]] == [sorted(seen[key]) for key in KEYS[1:]]
        assert sum(map(len, seen.values())) == crowd.published
