from datetime import timedelta
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from google.pubsub_v1.types import (
    DeadLetterPolicy,
    RetryPolicy,
    Subscription,
    UpdateSubscriptionRequest,
)

from tests.pubsub.conformance.differences import expected
from tests.pubsub.conformance.site import PROJECT, Site, outcome


def change(site: Site, name: str, path: str, **settings: Any) -> str:
    request = UpdateSubscriptionRequest(
        subscription=Subscription(name=name, **settings), update_mask=FieldMask(paths=[path])
    )
    return outcome(lambda: site.subscriber.update_subscription(request))


class TestCreateSubscription:
    def test_it_is_there_as_it_was_asked_for(self, site: Site) -> None:
        topic = site.topic()
        name = site.subscription(topic, ack_deadline_seconds=33, labels={"a": "b"})
        found = site.subscriber.get_subscription(subscription=name)
        assert (found.topic, found.ack_deadline_seconds, found.labels) == (topic, 33, {"a": "b"})

    def test_messages_are_kept_for_a_week_unless_something_else_is_asked_for(
        self, site: Site
    ) -> None:
        found = site.subscriber.get_subscription(subscription=site.subscription(site.topic()))
        assert found.message_retention_duration == timedelta(days=7)

    def test_a_second_one_of_the_name_is_refused(self, site: Site) -> None:
        topic = site.topic()
        name = site.subscription(topic)
        again = Subscription(name=name, topic=topic, ack_deadline_seconds=10)
        assert outcome(lambda: site.subscriber.create_subscription(again)) == "ALREADY_EXISTS"

    def test_one_of_a_topic_that_is_not_there_is_refused(self, site: Site) -> None:
        missing = site.name("topics")
        assert outcome(lambda: site.subscription(missing)) == "NOT_FOUND"

    def test_an_ack_deadline_that_is_left_out(self, site: Site) -> None:
        topic = site.topic()
        seen = outcome(lambda: site.subscription(topic, ack_deadline_seconds=0))
        assert seen == expected(site, "an ack deadline is left out")

    def test_an_ack_deadline_out_of_range(self, site: Site) -> None:
        topic = site.topic()
        seen = outcome(lambda: site.subscription(topic, ack_deadline_seconds=601))
        assert seen == expected(site, "an ack deadline is out of range")

    def test_a_retention_of_less_than_ten_minutes_is_refused(self, site: Site) -> None:
        topic, short = site.topic(), timedelta(minutes=9)
        seen = outcome(lambda: site.subscription(topic, message_retention_duration=short))
        assert seen == "INVALID_ARGUMENT"

    def test_a_retention_of_31_days(self, site: Site) -> None:
        topic, long = site.topic(), timedelta(days=31)
        seen = outcome(lambda: site.subscription(topic, message_retention_duration=long))
        assert seen == expected(site, "a retention of 31 days")

    def test_an_expiration_policy_that_is_left_out(self, site: Site) -> None:
        found = site.subscriber.get_subscription(subscription=site.subscription(site.topic()))
        days = found.expiration_policy.ttl.days if found.expiration_policy.ttl else 0
        assert days == expected(site, "an expiration policy is left out")


class TestUpdateSubscription:
    def test_only_what_the_mask_names_is_changed(self, site: Site) -> None:
        name = site.subscription(site.topic(), labels={"a": "b"})
        assert change(site, name, "ack_deadline_seconds", ack_deadline_seconds=60) == "OK"
        found = site.subscriber.get_subscription(subscription=name)
        assert (found.ack_deadline_seconds, found.labels) == (60, {"a": "b"})

    def test_the_filter_cannot_be_changed(self, site: Site) -> None:
        name = site.subscription(site.topic())
        assert change(site, name, "filter", filter="attributes:a") == "INVALID_ARGUMENT"

    def test_one_that_is_not_there_is_not_found(self, site: Site) -> None:
        name = site.name("subscriptions")
        assert change(site, name, "labels", labels={"a": "b"}) == "NOT_FOUND"

    def test_a_dead_letter_policy_that_is_set_later(self, site: Site) -> None:
        policy = DeadLetterPolicy(dead_letter_topic=site.topic(), max_delivery_attempts=5)
        name = site.subscription(site.topic())
        seen = change(site, name, "dead_letter_policy", dead_letter_policy=policy)
        assert seen == expected(site, "a dead-letter policy is set later")

    def test_a_retry_policy_that_is_set_later(self, site: Site) -> None:
        policy = RetryPolicy(minimum_backoff=timedelta(seconds=1))
        name = site.subscription(site.topic())
        seen = change(site, name, "retry_policy", retry_policy=policy)
        assert seen == expected(site, "a retry policy is set later")


class TestDeleteSubscription:
    def test_it_is_gone(self, site: Site) -> None:
        name = site.subscription(site.topic())
        site.subscriber.delete_subscription(subscription=name)
        for call in (site.subscriber.get_subscription, site.subscriber.delete_subscription):
            assert outcome(lambda call=call: call(subscription=name)) == "NOT_FOUND"

    def test_its_topic_goes_on(self, site: Site) -> None:
        topic = site.topic()
        site.subscriber.delete_subscription(subscription=site.subscription(topic))
        other = site.subscription(topic)
        site.publish(topic, b"x")
        assert len(site.collect(other)) == 1


class TestListSubscriptions:
    def test_they_come_by_name_a_page_at_a_time(self, site: Site) -> None:
        project, topic = f"{PROJECT}-subscriptions", site.topic()
        names = [f"{project}/subscriptions/{letter * 3}" for letter in "bca"]
        for name in names:
            site.subscriber.create_subscription(
                Subscription(name=name, topic=topic, ack_deadline_seconds=10)
            )
        pages = [
            [subscription.name for subscription in page.subscriptions]
            for page in site.subscriber.list_subscriptions(
                {"project": project, "page_size": 2}
            ).pages
        ]
        assert pages == [sorted(names)[:2], sorted(names)[2:]]
