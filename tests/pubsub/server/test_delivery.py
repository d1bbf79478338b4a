"""What pstest cannot show: how messages are shared out, and what becomes of failures."""

from __future__ import annotations

import itertools
import threading
import time
from datetime import timedelta

import grpc
from google.cloud import pubsub_v1
from google.cloud.pubsub_v1.subscriber.exceptions import AcknowledgeError, AcknowledgeStatus
from google.cloud.pubsub_v1.subscriber.message import Message
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from tests.pubsub.conformance.site import ack_ids_of, data_of
from tests.pubsub.server.conftest import Bench


class TestFlowControl:
    def test_a_stream_gets_no_more_than_it_can_hold(self, bench: Bench) -> None:
        bench.subscribe()
        bench.publish(*[b"x"] * 5)
        with bench.stream(max_outstanding_messages=2) as stream:
            first = stream.collect(2)
            assert len(first) == 2
            assert stream.collect(within=0.1) == []
            bench.site.acknowledge(bench.subscription, first[0].ack_id)
            assert len(stream.collect()) == 1
            assert stream.collect(within=0.1) == []

    def test_bytes_are_counted_too(self, bench: Bench) -> None:
        bench.subscribe()
        bench.publish(*[bytes(1_000)] * 3)
        with bench.stream(max_outstanding_bytes=1_500) as stream:
            assert len(stream.collect(2)) == 2
            assert stream.collect(within=0.1) == []

    def test_what_expired_makes_room(self, bench: Bench) -> None:
        bench.subscribe()
        bench.publish(b"1", b"2")
        with bench.stream(max_outstanding_messages=1) as stream:
            assert data_of(stream.collect()) == [b"1"]
            assert bench.server.expire_leases("jobs-sub") == 1
            assert data_of(stream.collect()) == [b"2"]


class TestOrderingKeys:
    def publish(self, bench: Bench, *data: bytes, key: str = "k") -> None:
        for each in data:
            bench.server.publish("jobs", each, ordering_key=key)

    def test_the_messages_of_a_key_go_to_one_stream(self, bench: Bench) -> None:
        bench.subscribe(is_ordered=True)
        with bench.stream() as one, bench.stream() as other:
            bench.wait_for_streams(2)
            self.publish(bench, b"1")
            first, second = one, other
            while not first.collect(within=0.1):
                first, second = second, first
            self.publish(bench, b"2", b"3")
            assert data_of(first.collect(2)) == [b"2", b"3"]
            assert second.collect(within=0.1) == []

    def test_a_stream_with_room_for_one_gets_all_of_them_one_by_one(self, bench: Bench) -> None:
        bench.subscribe(is_ordered=True)
        for key in ("a", "b", "c"):
            self.publish(bench, key.encode(), key=key)
        with bench.stream(max_outstanding_messages=1) as stream:
            received = []
            for _ in range(3):
                (each,) = stream.collect()
                received.append(each.message.data)
                bench.site.acknowledge(bench.subscription, each.ack_id)
        assert received == [b"a", b"b", b"c"]

    def test_another_key_does_not_wait(self, bench: Bench) -> None:
        bench.subscribe(is_ordered=True)
        self.publish(bench, b"1")
        assert bench.collect() == [b"1"]
        self.publish(bench, b"2")
        self.publish(bench, b"other", key="other")
        assert bench.pull() == [b"other"]

    def test_another_stream_goes_on_when_all_is_acknowledged(self, bench: Bench) -> None:
        bench.subscribe(is_ordered=True)
        self.publish(bench, b"1")
        received = bench.site.collect(bench.subscription)
        self.publish(bench, b"2")
        bench.site.acknowledge(bench.subscription, *ack_ids_of(received))
        assert bench.collect() == [b"2"]

    def test_two_failures_out_of_order_leave_the_order(self, bench: Bench) -> None:
        bench.subscribe(is_ordered=True, retry=(timedelta(seconds=0.1), timedelta(seconds=0.1)))
        self.publish(bench, b"1", b"2", b"3", b"4")
        ids = ack_ids_of(bench.site.collect(bench.subscription, 4))
        bench.site.extend(bench.subscription, 0, ids[2])
        bench.site.extend(bench.subscription, 0, ids[0])
        assert bench.collect(4) == [b"1", b"2", b"3", b"4"]

    def test_keys_mean_nothing_without_ordering(self, bench: Bench) -> None:
        bench.subscribe()
        self.publish(bench, b"1", b"2")
        assert len(bench.site.pull(bench.subscription, 1)) == 1
        assert len(bench.site.pull(bench.subscription, 1)) == 1


class TestDeadLetters:
    def test_a_message_stays_where_its_dead_letter_topic_is_missing(self, bench: Bench) -> None:
        bench.subscribe(dead_letter_topic="missing")
        bench.publish(b"x")
        for _ in range(6):
            assert bench.collect() == [b"x"]
            bench.server.expire_leases("jobs-sub")
        assert bench.server.counts("jobs-sub").dead_lettered == 0

    def test_a_deadline_that_passes_is_a_failure_as_well(self, bench: Bench) -> None:
        bench.server.create_topic("undeliverable")
        bench.subscribe(dead_letter_topic="undeliverable")
        bench.publish(b"x")
        for _ in range(5):
            assert bench.collect() == [b"x"]
            bench.server.expire_leases("jobs-sub")
        assert [each.data for each in bench.server.messages("undeliverable")] == [b"x"]
        assert bench.server.backlog("jobs-sub") == 0

    def test_an_ordering_key_goes_on_behind_it(self, bench: Bench) -> None:
        bench.server.create_topic("undeliverable")
        bench.subscribe(dead_letter_topic="undeliverable", is_ordered=True)
        for data in (b"poison", b"next"):
            bench.server.publish("jobs", data, ordering_key="k")
        for _ in range(5):
            poison = bench.site.collect(bench.subscription, 2)[0]
            bench.site.extend(bench.subscription, 0, poison.ack_id)
        assert [each.data for each in bench.server.messages("undeliverable")] == [b"poison"]
        assert bench.server.messages("undeliverable")[0].ordering_key == "k"
        bench.server.expire_leases("jobs-sub")
        assert bench.collect() == [b"next"]


class TestRetryPolicy:
    def test_each_failure_doubles_the_wait_up_to_the_most(self, bench: Bench) -> None:
        bench.subscribe(retry=(timedelta(seconds=0.05), timedelta(seconds=0.2)))
        bench.publish(b"x")
        waits = []
        with bench.stream() as stream:
            (received,) = stream.collect()
            for least_s in (0.05, 0.1, 0.2, 0.2):
                began = time.monotonic()
                bench.site.extend(bench.subscription, 0, received.ack_id)
                (received,) = stream.collect()
                waits.append(time.monotonic() - began >= least_s)
        assert waits == [True] * 4
        assert bench.server.counts("jobs-sub").delivered == 5


class TestExactlyOnce:
    def test_googles_client_learns_that_its_acknowledgement_was_too_late(
        self, bench: Bench
    ) -> None:
        bench.subscribe(is_exactly_once=True)
        bench.publish(b"x")
        statuses: list[object] = []
        deliveries = itertools.count(1)
        first_is_over, both_are = threading.Event(), threading.Event()

        def acknowledge(message: Message) -> None:
            if next(deliveries) == 1:
                bench.server.expire_leases("jobs-sub")
            else:
                first_is_over.wait(10)
            try:
                statuses.append(message.ack_with_response().result(10))
            except AcknowledgeError as error:
                statuses.append(error.error_code)
            (both_are if first_is_over.is_set() else first_is_over).set()

        transport = SubscriberGrpcTransport(channel=grpc.insecure_channel(bench.site.address))
        with pubsub_v1.SubscriberClient(transport=transport) as subscriber:
            pull = subscriber.subscribe(bench.subscription, acknowledge)
            assert both_are.wait(20)
            pull.cancel()
            pull.result(10)
        assert statuses == [AcknowledgeStatus.INVALID_ACK_ID, AcknowledgeStatus.SUCCESS]
        assert bench.server.counts("jobs-sub").acked == 1


class TestVolume:
    def test_thousands_of_messages_pass(self, bench: Bench) -> None:
        bench.subscribe()
        with bench.stream() as stream:
            for _ in range(5):
                bench.site.publish(bench.topic, *[b"x"] * 1_000)
            assert len(stream.collect(5_000, within=20)) == 5_000
