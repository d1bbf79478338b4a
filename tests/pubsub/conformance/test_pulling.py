import threading
import time

import pytest

from tests.pubsub.conformance.differences import expected
from tests.pubsub.conformance.site import Site, ack_ids_of, data_of, outcome


class TestPull:
    def test_no_more_come_than_were_asked_for(self, site: Site) -> None:
        topic = site.topic()
        subscription = site.subscription(topic)
        site.publish(topic, *[b"x"] * 5)
        assert [len(site.pull(subscription, 3)), len(site.pull(subscription, 3))] == [3, 2]

    def test_it_waits_a_while_for_a_message(self, site: Site) -> None:
        topic = site.topic()
        subscription = site.subscription(topic)
        late = threading.Timer(0.1, site.publish, (topic, b"late"))
        late.start()
        assert data_of(site.pull(subscription)) == [b"late"]
        late.join()

    def test_it_is_empty_when_there_is_nothing(self, site: Site) -> None:
        assert site.pull(site.subscription(site.topic())) == []

    def test_it_does_not_wait_when_it_is_told_not_to(self, site: Site) -> None:
        subscription = site.subscription(site.topic())
        request = {"subscription": subscription, "max_messages": 1, "return_immediately": True}
        began = time.monotonic()
        for _ in range(5):
            with pytest.warns(DeprecationWarning, match="return_immediately"):
                answer = site.subscriber.pull(request, timeout=10)
            assert not answer.received_messages
        assert time.monotonic() - began < 5 * 0.5

    def test_a_message_that_somebody_has_is_not_given_to_another(self, site: Site) -> None:
        topic = site.topic()
        subscription = site.subscription(topic)
        site.publish(topic, b"x")
        assert len(site.collect(subscription)) == 1
        assert site.pull(subscription) == []

    def test_fewer_than_no_messages_are_refused(self, site: Site) -> None:
        subscription = site.subscription(site.topic())
        assert outcome(lambda: site.pull(subscription, -1)) == "INVALID_ARGUMENT"

    def test_no_messages(self, site: Site) -> None:
        subscription = site.subscription(site.topic())
        assert outcome(lambda: site.pull(subscription, 0)) == expected(site, "a pull of 0 messages")

    def test_a_subscription_that_is_not_there_is_not_found(self, site: Site) -> None:
        missing = site.name("subscriptions")
        assert outcome(lambda: site.pull(missing)) == "NOT_FOUND"


class TestAcknowledge:
    def test_what_is_acknowledged_does_not_come_again(self, site: Site) -> None:
        topic = site.topic()
        subscription = site.subscription(topic, ack_deadline_seconds=1)
        site.publish(topic, b"done", b"left")
        received = site.collect(subscription, 2)
        site.acknowledge(
            subscription, *[each.ack_id for each in received if each.message.data == b"done"]
        )
        assert set(data_of(site.collect(subscription, 2, within=1.2))) == {b"left"}

    def test_it_concerns_one_subscription_alone(self, site: Site) -> None:
        topic = site.topic()
        one, other = site.subscription(topic), site.subscription(topic)
        site.publish(topic, b"x")
        site.acknowledge(one, *ack_ids_of(site.collect(one)))
        assert len(site.collect(other)) == 1

    def test_one_that_comes_twice_is_passed_over(self, site: Site) -> None:
        topic = site.topic()
        subscription = site.subscription(topic)
        site.publish(topic, b"x")
        ids = ack_ids_of(site.collect(subscription))
        assert outcome(lambda: site.acknowledge(subscription, *ids)) == "OK"
        assert outcome(lambda: site.acknowledge(subscription, *ids)) == "OK"

    def test_one_after_the_deadline_counts_all_the_same(self, site: Site) -> None:
        topic = site.topic()
        subscription = site.subscription(topic)
        site.publish(topic, b"x")
        first = site.collect(subscription)
        site.extend(subscription, 0, *ack_ids_of(first))
        second = site.collect(subscription)
        site.acknowledge(subscription, *ack_ids_of(first))
        site.extend(subscription, 0, *ack_ids_of(second))
        assert site.pull(subscription) == []

    def test_none_at_all(self, site: Site) -> None:
        subscription = site.subscription(site.topic())
        seen = outcome(lambda: site.acknowledge(subscription))
        assert seen == expected(site, "an acknowledgement without ids")

    def test_a_subscription_that_is_not_there_is_not_found(self, site: Site) -> None:
        missing = site.name("subscriptions")
        assert outcome(lambda: site.acknowledge(missing, "x")) == "NOT_FOUND"


class TestAckDeadlines:
    def test_a_message_comes_again_when_its_deadline_has_passed(self, site: Site) -> None:
        topic = site.topic()
        subscription = site.subscription(topic, ack_deadline_seconds=1)
        (given,) = site.publish(topic, b"x")
        assert len(site.collect(subscription)) == 1
        assert [each.message.message_id for each in site.collect(subscription)] == [given]

    def test_a_deadline_that_is_moved_is_kept(self, site: Site) -> None:
        topic = site.topic()
        subscription = site.subscription(topic, ack_deadline_seconds=1)
        site.publish(topic, b"x")
        site.extend(subscription, 60, *ack_ids_of(site.collect(subscription)))
        assert site.collect(subscription, within=1.2) == []

    def test_a_message_that_is_given_back_comes_at_once(self, site: Site) -> None:
        topic = site.topic()
        subscription = site.subscription(topic)
        site.publish(topic, b"x")
        site.extend(subscription, 0, *ack_ids_of(site.collect(subscription)))
        assert data_of(site.collect(subscription, within=2)) == [b"x"]

    def test_the_ids_of_two_deliveries(self, site: Site) -> None:
        topic = site.topic()
        subscription = site.subscription(topic)
        site.publish(topic, b"x")
        first = ack_ids_of(site.collect(subscription))
        site.extend(subscription, 0, *first)
        seen = "are the same" if ack_ids_of(site.collect(subscription)) == first else "differ"
        assert seen == expected(site, "ack ids of two deliveries")

    def test_a_message_that_is_not_known(self, site: Site) -> None:
        subscription = site.subscription(site.topic())
        seen = outcome(lambda: site.extend(subscription, 10, "unknown"))
        assert seen == expected(site, "a deadline is moved of an unknown message")
