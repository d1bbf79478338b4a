from datetime import UTC, datetime, timedelta

from google.pubsub_v1.types import PublishRequest, PubsubMessage

from tests.pubsub.conformance.differences import expected
from tests.pubsub.conformance.site import Site, data_of, outcome


def publish(site: Site, *messages: PubsubMessage) -> str:
    request = PublishRequest(topic=site.topic(), messages=messages)
    return outcome(lambda: site.publisher.publish(request, timeout=10))


class TestPublish:
    def test_each_message_gets_an_id_of_its_own(self, site: Site) -> None:
        topic = site.topic()
        ids = site.publish(topic, *[b"x"] * 10) + site.publish(topic, b"x")
        assert len(set(ids)) == 11

    def test_everything_arrives_as_it_was_given(self, site: Site) -> None:
        topic = site.topic()
        subscription = site.subscription(topic)
        given = PubsubMessage(data=b"\x00\xff", attributes={"kind": "é"}, ordering_key="k")
        (given_id,) = site.publisher.publish(topic=topic, messages=[given]).message_ids
        (received,) = site.collect(subscription)
        message = received.message
        assert (message.data, message.attributes) == (b"\x00\xff", {"kind": "é"})
        assert (message.ordering_key, message.message_id) == ("k", given_id)
        assert abs(datetime.now(UTC) - message.publish_time) < timedelta(seconds=60)

    def test_every_subscription_gets_every_message(self, site: Site) -> None:
        topic = site.topic()
        subscriptions = [site.subscription(topic) for _ in range(3)]
        site.publish(topic, b"1", b"2")
        for each in subscriptions:
            assert sorted(data_of(site.collect(each, 2))) == [b"1", b"2"]

    def test_a_subscription_gets_nothing_from_before_its_time(self, site: Site) -> None:
        topic = site.topic()
        site.publish(topic, b"early")
        subscription = site.subscription(topic)
        site.publish(topic, b"late")
        assert data_of(site.collect(subscription, 2, within=0.4)) == [b"late"]

    def test_a_topic_that_is_not_there_is_not_found(self, site: Site) -> None:
        missing = site.name("topics")
        assert outcome(lambda: site.publish(missing, b"x")) == "NOT_FOUND"

    def test_a_request_without_a_topic_is_refused(self, site: Site) -> None:
        assert outcome(lambda: site.publish("", b"x")) == "INVALID_ARGUMENT"


class TestLimits:
    def test_a_message_of_attributes_alone_is_fine(self, site: Site) -> None:
        assert publish(site, PubsubMessage(attributes={"a": "b"})) == "OK"

    def test_a_message_of_nothing(self, site: Site) -> None:
        seen = publish(site, PubsubMessage())
        assert seen == expected(site, "a message without data and attributes")

    def test_a_request_without_messages(self, site: Site) -> None:
        assert publish(site) == expected(site, "a request without messages")

    def test_a_request_with_1001_messages(self, site: Site) -> None:
        seen = publish(site, *[PubsubMessage(data=b"x")] * 1_001)
        assert seen == expected(site, "a request with 1,001 messages")

    def test_nine_megabytes_arrive(self, site: Site) -> None:
        topic = site.topic()
        subscription = site.subscription(topic)
        site.publish(topic, bytes(9_000_000))
        assert len(site.collect(subscription)[0].message.data) == 9_000_000

    def test_more_than_ten_megabytes(self, site: Site) -> None:
        seen = publish(site, PubsubMessage(data=bytes(10_000_001)))
        assert seen == expected(site, "a request with more than 10 MB")

    def test_an_attribute_whose_key_is_googles(self, site: Site) -> None:
        seen = publish(site, PubsubMessage(attributes={"googclient": "x"}))
        assert seen == expected(site, "an attribute whose key begins with goog")
