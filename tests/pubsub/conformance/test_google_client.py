"""The client that everybody uses: it publishes in batches, and keeps leases in its threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import grpc
import pytest
from google.cloud import pubsub_v1
from google.cloud.pubsub_v1.subscriber.message import Message
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from tests.pubsub.conformance.site import Site

COUNT = 200


@pytest.fixture
def publisher(site: Site) -> Iterator[pubsub_v1.PublisherClient]:
    transport = PublisherGrpcTransport(channel=grpc.insecure_channel(site.address))
    publisher = pubsub_v1.PublisherClient(transport=transport)
    yield publisher
    publisher.stop()
    transport.close()


@pytest.fixture
def subscriber(site: Site) -> Iterator[pubsub_v1.SubscriberClient]:
    transport = SubscriberGrpcTransport(channel=grpc.insecure_channel(site.address))
    with pubsub_v1.SubscriberClient(transport=transport) as subscriber:
        yield subscriber


class Seen:
    """What a callback was given, until it was as many as awaited."""

    def __init__(self, awaited: int) -> None:
        self.ids: list[str] = []
        self._awaited, self._all = awaited, threading.Event()
        self._lock = threading.Lock()

    def note(self, message: Message) -> int:
        """How often this message has come."""
        with self._lock:
            self.ids.append(message.message_id)
            if len(self.ids) >= self._awaited:
                self._all.set()
            return self.ids.count(message.message_id)

    def wait(self) -> None:
        assert self._all.wait(20), f"{len(self.ids)} came"


class TestGoogleClient:
    def test_all_that_is_published_is_received_and_acknowledged(
        self,
        site: Site,
        publisher: pubsub_v1.PublisherClient,
        subscriber: pubsub_v1.SubscriberClient,
    ) -> None:
        topic = site.topic()
        subscription = site.subscription(topic)
        seen = Seen(COUNT)

        def acknowledge(message: Message) -> None:
            seen.note(message)
            message.ack()

        pull = subscriber.subscribe(subscription, acknowledge)
        futures = [publisher.publish(topic, b"x") for _ in range(COUNT)]
        given = [future.result(10) for future in futures]
        seen.wait()
        pull.cancel()
        pull.result(10)
        assert sorted(seen.ids) == sorted(given)
        assert site.pull(subscription) == []

    def test_what_it_gives_back_comes_again(
        self, site: Site, subscriber: pubsub_v1.SubscriberClient
    ) -> None:
        topic = site.topic()
        subscription = site.subscription(topic)
        seen = Seen(2)

        def refuse_once(message: Message) -> None:
            message.nack() if seen.note(message) == 1 else message.ack()

        pull = subscriber.subscribe(subscription, refuse_once)
        (given,) = site.publish(topic, b"x")
        seen.wait()
        pull.cancel()
        pull.result(10)
        assert seen.ids == [given, given]
