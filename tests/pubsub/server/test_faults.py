from __future__ import annotations

import time
from datetime import timedelta

import pytest

from headrace.testing.pubsub import (
    Call,
    CloseStreams,
    Code,
    Delay,
    Drop,
    Duplicate,
    Fail,
    LoseAcks,
    PubSubFault,
    PubSubServer,
    Reorder,
    Silence,
    Slow,
)
from tests.pubsub.conformance.site import ack_ids_of, data_of, outcome
from tests.pubsub.server.conftest import Bench

NUMBERS = [b"%02d" % number for number in range(40)]


class TestDrop:
    def test_the_message_is_published_and_never_comes(self, bench: Bench) -> None:
        bench.subscribe()
        with bench.server.inject(Drop(times=1)) as fault:
            bench.publish(b"lost", b"kept")
        assert bench.collect() == [b"kept"]
        assert bench.server.backlog("jobs-sub") == 1
        assert [each.data for each in bench.server.messages("jobs")] == [b"lost", b"kept"]
        assert (fault.count, bench.server.counts("jobs-sub").dropped) == (1, 1)

    def test_a_share_is_a_part_of_many_and_the_same_with_one_seed(self) -> None:
        def dropped() -> int:
            with PubSubServer(seed=7) as server:
                topic = server.create_topic("jobs")
                server.create_subscription("jobs-sub", topic)
                server.inject(Drop(share=0.2))
                for _ in range(500):
                    server.publish(topic, b"x")
                return server.counts("jobs-sub").dropped

        first = dropped()
        assert 60 <= first <= 140
        assert dropped() == first

    def test_it_strikes_the_named_subscription_alone(self, bench: Bench) -> None:
        bench.subscribe()
        bench.server.create_subscription("other", "jobs")
        bench.server.inject(Drop(on="other"))
        bench.publish(b"x")
        assert bench.collect() == [b"x"]
        assert bench.server.counts("other").dropped == 1


class TestDelay:
    def test_the_message_comes_later(self, bench: Bench) -> None:
        bench.subscribe()
        began = time.monotonic()
        with bench.server.inject(Delay(times=1, by=timedelta(seconds=0.3))):
            bench.publish(b"late", b"early")
        assert bench.collect(2) == [b"early", b"late"]
        assert time.monotonic() - began >= 0.3

    def test_those_of_its_ordering_key_wait_for_it(self, bench: Bench) -> None:
        bench.subscribe(is_ordered=True)
        with bench.server.inject(Delay(times=1, by=timedelta(seconds=0.2))):
            for data in (b"late", b"after"):
                bench.server.publish("jobs", data, ordering_key="k")
        bench.server.publish("jobs", b"other", ordering_key="other")
        assert bench.collect(3) == [b"other", b"late", b"after"]


class TestDuplicate:
    def test_the_copies_have_one_message_id_and_each_its_ack(self, bench: Bench) -> None:
        bench.subscribe()
        with bench.server.inject(Duplicate(copies=2)):
            (given,) = bench.publish(b"x")
        received = bench.site.collect(bench.subscription, 3)
        assert [each.message.message_id for each in received] == [given] * 3
        bench.site.acknowledge(bench.subscription, received[0].ack_id)
        assert bench.server.backlog("jobs-sub") == 2

    def test_two_streams_get_one_each(self, bench: Bench) -> None:
        bench.subscribe()
        with bench.stream() as one, bench.stream() as other:
            bench.wait_for_streams(2)
            with bench.server.inject(Duplicate()):
                bench.publish(b"x")
            assert data_of(one.collect()) == data_of(other.collect()) == [b"x"]

    def test_a_late_one_comes_after_the_acknowledgement(self, bench: Bench) -> None:
        bench.subscribe()
        with bench.server.inject(Duplicate(after=timedelta(seconds=0.3))):
            bench.publish(b"x")
        bench.site.acknowledge(
            bench.subscription, *ack_ids_of(bench.site.collect(bench.subscription))
        )
        assert bench.collect() == [b"x"]


class TestReorder:
    def test_messages_come_in_another_order(self, bench: Bench) -> None:
        bench.subscribe()
        bench.server.inject(Reorder(window=10))
        bench.publish(*NUMBERS)
        received = bench.collect(len(NUMBERS))
        assert received != NUMBERS
        assert sorted(received) == NUMBERS

    def test_an_ordering_key_does_not_protect(self, bench: Bench) -> None:
        bench.subscribe(is_ordered=True)
        bench.server.inject(Reorder(window=10))
        for number in NUMBERS:
            bench.server.publish("jobs", number, ordering_key="k")
        received = bench.collect(len(NUMBERS))
        assert received != NUMBERS
        assert sorted(received) == NUMBERS


class TestSilence:
    def test_a_stream_stays_open_and_says_nothing_until_it_is_over(self, bench: Bench) -> None:
        bench.subscribe()
        with bench.stream() as stream:
            with bench.server.inject(Silence()):
                bench.publish(b"x")
                assert stream.collect(within=0.2) == []
                assert bench.pull() == []
                assert stream.end(within=0) == "open"
            assert data_of(stream.collect()) == [b"x"]


class TestCloseStreams:
    def test_streams_are_closed_again_and_again(self, bench: Bench) -> None:
        bench.subscribe()
        with bench.server.inject(CloseStreams(every=timedelta(seconds=0.1))) as fault:
            for _ in range(2):
                with bench.stream() as stream:
                    assert stream.end() == "UNAVAILABLE"
        assert fault.count >= 2

    def test_they_stay_open_when_it_is_over(self, bench: Bench) -> None:
        bench.subscribe()
        with bench.server.inject(CloseStreams(every=timedelta(seconds=0.1))):
            pass
        with bench.stream() as stream:
            assert stream.end(within=0.3) == "open"


class TestLoseAcks:
    def test_the_message_comes_again_although_all_was_well(self, bench: Bench) -> None:
        bench.subscribe()
        bench.publish(b"x")
        ids = ack_ids_of(bench.site.collect(bench.subscription))
        with bench.server.inject(LoseAcks()):
            assert outcome(lambda: bench.site.acknowledge(bench.subscription, *ids)) == "OK"
        bench.server.expire_leases("jobs-sub")
        assert bench.collect() == [b"x"]
        counts = bench.server.counts("jobs-sub")
        assert (counts.lost_acks, counts.acked, counts.expired) == (1, 0, 1)


class TestFail:
    @pytest.mark.parametrize(
        "code", [Code.RESOURCE_EXHAUSTED, Code.NOT_FOUND, Code.PERMISSION_DENIED]
    )
    def test_a_call_is_answered_with_an_error(self, bench: Bench, code: Code) -> None:
        bench.subscribe()
        with bench.server.inject(Fail(call=Call.PULL, code=code)):
            assert outcome(bench.pull) == code
        assert outcome(bench.pull) == "OK"

    def test_a_publication_that_failed_may_have_been_taken(self, bench: Bench) -> None:
        bench.subscribe()
        fault = Fail(call=Call.PUBLISH, code=Code.INTERNAL, times=1, applied=True)
        with bench.server.inject(fault):
            assert outcome(lambda: bench.site.publish(bench.topic, b"x")) == "INTERNAL"
        assert bench.collect() == [b"x"]

    def test_a_publication_that_failed_was_not_taken_unless_it_is_said(self, bench: Bench) -> None:
        bench.subscribe()
        with bench.server.inject(Fail(call=Call.PUBLISH, code=Code.INTERNAL)):
            assert outcome(lambda: bench.site.publish(bench.topic, b"x")) == "INTERNAL"
        assert bench.server.messages("jobs") == []

    def test_an_acknowledgement_that_failed_may_have_been_taken(self, bench: Bench) -> None:
        bench.subscribe()
        bench.publish(b"x")
        ids = ack_ids_of(bench.site.collect(bench.subscription))
        fault = Fail(call=Call.ACKNOWLEDGE, code=Code.INTERNAL, applied=True)
        with bench.server.inject(fault):
            assert outcome(lambda: bench.site.acknowledge(bench.subscription, *ids)) == "INTERNAL"
        assert bench.server.backlog("jobs-sub") == 0

    def test_a_stream_is_refused(self, bench: Bench) -> None:
        bench.subscribe()
        fault = Fail(call=Call.STREAMING_PULL, code=Code.PERMISSION_DENIED)
        with bench.server.inject(fault), bench.stream() as stream:
            assert stream.end() == "PERMISSION_DENIED"

    def test_it_strikes_as_often_as_it_may(self, bench: Bench) -> None:
        bench.subscribe()
        bench.server.inject(Fail(call=Call.GET_TOPIC, code=Code.INTERNAL, times=2))

        def get() -> str:
            return outcome(lambda: bench.site.publisher.get_topic(topic=bench.topic, retry=None))

        assert [get(), get(), get()] == ["INTERNAL", "INTERNAL", "OK"]
        assert bench.server.calls()[Call.GET_TOPIC] == 3


class TestSlow:
    def test_a_call_is_answered_late(self, bench: Bench) -> None:
        bench.subscribe()
        bench.server.inject(Slow(call=Call.PUBLISH, by=timedelta(seconds=0.2)))
        began = time.monotonic()
        bench.site.publish(bench.topic, b"x")
        assert time.monotonic() - began >= 0.2


class TestInjections:
    def test_all_are_ended_at_once(self, bench: Bench) -> None:
        bench.subscribe()
        bench.server.inject(Drop())
        bench.server.inject(Silence())
        bench.server.clear_faults()
        bench.publish(b"x")
        assert bench.collect() == [b"x"]

    def test_to_end_one_twice_is_nothing(self, server: PubSubServer) -> None:
        injection = server.inject(Drop())
        injection.remove()
        injection.remove()

    @pytest.mark.parametrize(
        ("kind", "wrong"),
        [
            (Drop, {"share": 1.1}),
            (Drop, {"share": -0.1}),
            (Drop, {"times": 0}),
            (Delay, {"by": timedelta(0)}),
            (Slow, {"call": Call.PULL, "by": timedelta(0)}),
            (Duplicate, {"copies": 0}),
            (Reorder, {"window": 1}),
            (Silence, {"share": 0.5}),
            (CloseStreams, {"every": timedelta(0)}),
            (CloseStreams, {"every": timedelta(seconds=1), "times": 1}),
        ],
    )
    def test_a_fault_outside_its_bounds_is_refused(
        self, kind: type[PubSubFault], wrong: dict[str, object]
    ) -> None:
        with pytest.raises(ValueError, match=r"share|times|by|copies|window|every"):
            kind(**wrong)
