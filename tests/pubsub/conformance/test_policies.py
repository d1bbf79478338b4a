"""What a subscription does beyond handing out messages. pstest has none of it."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from queue import Empty, SimpleQueue

import pytest
from google.pubsub_v1.types import DeadLetterPolicy, PubsubMessage, PushConfig, RetryPolicy

from tests.pubsub.conformance.differences import expected
from tests.pubsub.conformance.site import Site, ack_ids_of, data_of, outcome


class TestFilters:
    def kept(self, site: Site, text: str) -> list[bytes]:
        topic = site.topic()
        subscription = site.subscription(topic, filter=text)
        site.publish(topic, b"job", kind="job")
        site.publish(topic, b"doorbell", kind="doorbell")
        return sorted(data_of(site.collect(subscription, 2, within=0.4)))

    def test_only_what_fits_is_delivered(self, site: Site) -> None:
        assert self.kept(site, 'attributes.kind = "job"') == expected(site, "a filter")

    def test_a_negation_keeps_the_rest(self, site: Site) -> None:
        seen = self.kept(site, 'NOT attributes.kind = "job"')
        assert seen == expected(site, "a negated filter")

    def test_what_is_no_filter(self, site: Site) -> None:
        topic = site.topic()
        seen = outcome(lambda: site.subscription(topic, filter="kind is job"))
        assert seen == expected(site, "a filter that is none")


class TestOrderingKeys:
    def published(self, site: Site, count: int) -> str:
        topic = site.topic()
        subscription = site.subscription(topic, enable_message_ordering=True)
        messages = [
            PubsubMessage(data=b"%d" % number, ordering_key="key") for number in range(1, count + 1)
        ]
        site.publisher.publish(topic=topic, messages=messages)
        return subscription

    def test_messages_of_a_key_come_in_order(self, site: Site) -> None:
        received = data_of(site.collect(self.published(site, 30), 30))
        in_order = received == [b"%d" % number for number in range(1, 31)]
        seen = "in order" if in_order else "in any order"
        assert len(received) == 30
        assert seen == expected(site, "messages of an ordering key")

    def test_one_that_comes_again_brings_those_after_it(self, site: Site) -> None:
        subscription = self.published(site, 3)
        received = {each.message.data: each for each in site.collect(subscription, 3)}
        first = b"1" if site.server == "headrace" else b"2"
        site.acknowledge(subscription, received[b"3"].ack_id)
        site.extend(subscription, 0, received[first].ack_id)
        seen = data_of(site.collect(subscription, 3, within=0.4))
        assert seen == expected(site, "a message of an ordering key comes again")


class TestRetryPolicy:
    def test_a_message_that_is_given_back_rests(self, site: Site) -> None:
        topic = site.topic()
        policy = RetryPolicy(minimum_backoff=timedelta(seconds=1))
        subscription = site.subscription(topic, retry_policy=policy)
        site.publish(topic, b"x")
        received = ack_ids_of(site.collect(subscription))
        began = time.monotonic()
        site.extend(subscription, 0, *received)
        assert data_of(site.collect(subscription)) == [b"x"]
        seen = "at once" if time.monotonic() - began < 1 else "later"
        assert seen == expected(site, "a retry policy")


class TestDeadLetters:
    def test_deliveries_are_counted(self, site: Site) -> None:
        topic = site.topic()
        policy = DeadLetterPolicy(dead_letter_topic=site.topic(), max_delivery_attempts=5)
        subscription = site.subscription(topic, dead_letter_policy=policy)
        site.publish(topic, b"x")
        attempts = []
        for _ in range(3):
            (received,) = site.collect(subscription)
            attempts.append(received.delivery_attempt)
            site.extend(subscription, 0, received.ack_id)
        assert attempts == expected(site, "delivery attempts")

    def test_a_message_that_fails_five_times_goes_to_the_other_topic(self, site: Site) -> None:
        topic, dead_letters = site.topic(), site.topic()
        policy = DeadLetterPolicy(dead_letter_topic=dead_letters, max_delivery_attempts=5)
        subscription = site.subscription(topic, dead_letter_policy=policy)
        their = site.subscription(dead_letters)
        site.publish(topic, b"x", kind="job")
        for _ in range(5):
            site.extend(subscription, 0, *ack_ids_of(site.collect(subscription)))
        seen = "delivered again" if site.pull(subscription) else "forwarded"
        assert seen == expected(site, "a message fails five times")
        if seen == "forwarded":
            (received,) = site.collect(their)
            source = "CloudPubSubDeadLetterSource"
            attributes = dict(received.message.attributes)
            assert attributes.pop(f"{source}TopicPublishTime")
            assert attributes == {
                "kind": "job",
                f"{source}DeliveryCount": "5",
                f"{source}Subscription": subscription.rpartition("/")[2],
                f"{source}SubscriptionProject": "conformance",
            }


class TestExactlyOnce:
    def test_an_id_of_an_earlier_delivery_is_refused(self, site: Site) -> None:
        topic = site.topic()
        subscription = site.subscription(topic, enable_exactly_once_delivery=True)
        site.publish(topic, b"x")
        first = ack_ids_of(site.collect(subscription))
        site.extend(subscription, 0, *first)
        second = ack_ids_of(site.collect(subscription))
        seen = outcome(lambda: site.acknowledge(subscription, *first))
        assert seen == expected(site, "exactly once: an old id is used")
        assert outcome(lambda: site.acknowledge(subscription, *second)) == "OK"


class Receiver(http.server.ThreadingHTTPServer):
    """Takes pushes."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies: SimpleQueue[bytes] = SimpleQueue()


class Handler(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        self.server.bodies.put(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        thread = threading.Thread(target=receiver.serve_forever, daemon=True)
        thread.start()
        yield receiver
        receiver.shutdown()
        thread.join()


class TestPush:
    def test_messages_are_posted(self, site: Site, receiver: Receiver) -> None:
        topic = site.topic()
        endpoint = f"http://127.0.0.1:{receiver.server_port}/push"
        site.subscription(topic, push_config=PushConfig(push_endpoint=endpoint))
        (given,) = site.publish(topic, b"x")
        try:
            body = receiver.bodies.get(timeout=site.patience)
            seen = "posted"
        except Empty:
            body, seen = b"", "nothing"
        assert seen == expected(site, "a push endpoint")
        if seen == "posted":
            assert given.encode() in body

    def test_a_pull_in_its_place(self, site: Site) -> None:
        config = PushConfig(push_endpoint="http://127.0.0.1:9/push")
        subscription = site.subscription(site.topic(), push_config=config)
        seen = outcome(lambda: site.pull(subscription))
        assert seen == expected(site, "a pull where messages are pushed")
