"""The test server as users meet it."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta

import pytest

import headrace.testing
from headrace.testing import PubSubServer
from headrace.testing.pubsub import Call, RefusedError, SubscriptionOrder
from tests.ports import free_port
from tests.pubsub.conformance.site import Site
from tests.pubsub.server.conftest import Bench


class TestBlock:
    def test_outside_of_it_there_is_no_address(self) -> None:
        with pytest.raises(RuntimeError, match="inside its `with` block"):
            _ = PubSubServer().address

    def test_after_it_nothing_is_answered(self) -> None:
        with PubSubServer() as server:
            pass
        with pytest.raises(RuntimeError, match="inside its `with` block"):
            server.create_topic("jobs")

    def test_a_port_that_is_taken_is_said(self, server: PubSubServer) -> None:
        port = int(server.address.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"), PubSubServer(port=port):
            pass

    def test_the_port_that_is_asked_for_is_used(self) -> None:
        port = free_port()
        with PubSubServer(port=port) as server:
            assert server.address == f"127.0.0.1:{port}"

    async def test_it_is_an_async_one_as_well(self) -> None:
        async with PubSubServer() as server:
            assert server.environment == {
                "PUBSUB_EMULATOR_HOST": server.address,
                "PUBSUB_PROJECT_ID": "emulator-project",
            }


class TestNames:
    def test_an_id_is_of_the_servers_project(self) -> None:
        with PubSubServer(project="mine") as server:
            assert server.create_topic("jobs") == "projects/mine/topics/jobs"
            assert server.topic("projects/other/topics/jobs") == "projects/other/topics/jobs"

    def test_a_topic_can_be_asked_for_twice(self, server: PubSubServer) -> None:
        server.create_topic("jobs")
        server.publish("jobs", b"x")
        server.create_topic("jobs")
        assert len(server.messages("jobs")) == 1

    def test_a_name_that_google_would_not_take_is_refused(self, server: PubSubServer) -> None:
        with pytest.raises(RefusedError, match="1st"):
            server.create_topic("1st")

    def test_what_is_not_there_is_refused(self, server: PubSubServer) -> None:
        with pytest.raises(RefusedError, match="not found"):
            server.backlog("missing")

    def test_the_rest_of_the_kit_does_without_grpc(self) -> None:
        code = "import sys, headrace.testing; sys.exit('grpc' in sys.modules)"
        subprocess.run([sys.executable, "-c", code], check=True, timeout=30)

    def test_another_name_of_the_package_is_none(self) -> None:
        with pytest.raises(AttributeError, match="PubSubClient"):
            _ = headrace.testing.PubSubClient


class TestWhatHappened:
    def test_the_counts_tell_all(self, bench: Bench) -> None:
        bench.subscribe(filter='attributes.kind = "job"')
        bench.publish(b"1", b"2", kind="job")
        bench.publish(b"3", kind="other")
        one, other = bench.site.collect(bench.subscription, 2)
        bench.site.acknowledge(bench.subscription, one.ack_id)
        bench.site.acknowledge(bench.subscription, one.ack_id)
        bench.site.extend(bench.subscription, 60, other.ack_id)
        bench.site.extend(bench.subscription, 0, other.ack_id)
        counts = bench.server.counts("jobs-sub")
        assert (counts.received, counts.filtered, counts.delivered) == (2, 1, 2)
        assert (counts.acked, counts.late_acks) == (1, 1)
        assert (counts.extended, counts.nacked, counts.expired) == (1, 1, 0)
        assert bench.server.calls()[Call.ACKNOWLEDGE] == 2

    def test_a_subscription_is_made_as_it_is_ordered(self, server: PubSubServer) -> None:
        server.create_topic("jobs")
        order = SubscriptionOrder(
            ack_deadline=timedelta(seconds=30),
            filter="attributes:kind",
            is_ordered=True,
            retry=(timedelta(seconds=1), timedelta(seconds=9)),
            dead_letter_topic="undeliverable",
            max_delivery_attempts=7,
        )
        name = server.create_subscription("jobs-sub", "jobs", order)
        site = Site("headrace", server.address)
        found = site.subscriber.get_subscription(subscription=name)
        site.close()
        assert (found.ack_deadline_seconds, found.filter) == (30, "attributes:kind")
        assert found.enable_message_ordering
        assert found.retry_policy.minimum_backoff == timedelta(seconds=1)
        assert found.retry_policy.maximum_backoff == timedelta(seconds=9)
        assert found.dead_letter_policy.dead_letter_topic == server.topic("undeliverable")
        assert found.dead_letter_policy.max_delivery_attempts == 7

    @pytest.mark.parametrize(
        "order",
        [
            SubscriptionOrder(ack_deadline=timedelta(seconds=601)),
            SubscriptionOrder(retry=(timedelta(seconds=2), timedelta(seconds=1))),
            SubscriptionOrder(retry=(timedelta(seconds=2), timedelta(seconds=601))),
            SubscriptionOrder(dead_letter_topic="dead", max_delivery_attempts=4),
            SubscriptionOrder(dead_letter_topic="dead", max_delivery_attempts=101),
            SubscriptionOrder(dead_letter_topic="1st"),
        ],
    )
    def test_an_order_outside_googles_bounds_is_refused(
        self, server: PubSubServer, order: SubscriptionOrder
    ) -> None:
        server.create_topic("jobs")
        with pytest.raises(RefusedError):
            server.create_subscription("jobs-sub", "jobs", order)
