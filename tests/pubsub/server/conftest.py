from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from headrace.testing import PubSubServer
from headrace.testing.pubsub import SubscriptionOrder
from tests.pubsub.conformance.site import SHORTEST, Site, Stream, data_of
from tests.waiting import LOOK_S


@dataclass
class Bench:
    """A server with one topic and one subscription, and a client."""

    server: PubSubServer
    site: Site
    topic: str = ""
    subscription: str = ""

    def subscribe(self, **order: Any) -> str:
        """Make the topic and the subscription, with this order."""
        self.topic = self.server.create_topic("jobs")
        self.subscription = self.server.create_subscription(
            "jobs-sub", self.topic, SubscriptionOrder(**order)
        )
        return self.subscription

    def publish(self, *data: bytes, **attributes: str) -> list[str]:
        return [self.server.publish(self.topic, each, attributes) for each in data]

    def pull(self) -> list[bytes]:
        """What there is, or comes within half a second; in its order."""
        return data_of(self.site.pull(self.subscription))

    def collect(self, count: int = 1) -> list[bytes]:
        """The next `count` messages, or fewer when they do not come in five seconds."""
        return data_of(self.site.collect(self.subscription, count))

    def wait_for_streams(self, count: int) -> None:
        """Until so many are open: the server sees later than the client that one begins or ends."""
        deadline = time.monotonic() + 5
        while self.server.streams(self.subscription) != count:
            assert time.monotonic() < deadline
            time.sleep(LOOK_S)

    def stream(self, **settings: Any) -> Stream:
        return self.site.stream(self.subscription, **settings)


@pytest.fixture
def server() -> Iterator[PubSubServer]:
    with PubSubServer(least_ack_deadline=SHORTEST) as server:
        yield server


@pytest.fixture
def bench(server: PubSubServer) -> Iterator[Bench]:
    site = Site("headrace", server.address)
    yield Bench(server, site)
    site.close()
