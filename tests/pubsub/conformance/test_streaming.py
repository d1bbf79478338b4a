import time

from tests.pubsub.conformance.differences import expected
from tests.pubsub.conformance.site import Site, ack_ids_of, data_of


class TestStreamingPull:
    def test_it_gets_what_waits_and_what_comes(self, site: Site) -> None:
        topic = site.topic()
        subscription = site.subscription(topic)
        site.publish(topic, b"before")
        with site.stream(subscription) as stream:
            assert data_of(stream.collect()) == [b"before"]
            site.publish(topic, b"1", b"2")
            assert sorted(data_of(stream.collect(2))) == [b"1", b"2"]

    def test_it_takes_acknowledgements(self, site: Site) -> None:
        topic = site.topic()
        subscription = site.subscription(topic)
        site.publish(topic, b"x")
        with site.stream(subscription, stream_ack_deadline_seconds=1) as stream:
            stream.say(ack_ids=ack_ids_of(stream.collect()))
            assert stream.collect(within=1.3) == []

    def test_it_takes_messages_back(self, site: Site) -> None:
        topic = site.topic()
        subscription = site.subscription(topic)
        site.publish(topic, b"x")
        with site.stream(subscription) as stream:
            stream.say(
                modify_deadline_ack_ids=ack_ids_of(stream.collect()), modify_deadline_seconds=[0]
            )
            assert data_of(stream.collect(within=2)) == [b"x"]

    def test_its_own_ack_deadline_counts(self, site: Site) -> None:
        topic = site.topic()
        subscription = site.subscription(topic, ack_deadline_seconds=60)
        site.publish(topic, b"x")
        with site.stream(subscription, stream_ack_deadline_seconds=1) as stream:
            stream.say(stream_ack_deadline_seconds=1)  # pstest does not look into the first request
            assert len(stream.collect(2, within=4)) == 2

    def test_what_was_given_to_a_stream_stays_with_it_until_the_deadline(self, site: Site) -> None:
        topic = site.topic()
        subscription = site.subscription(topic)
        site.publish(topic, b"x")
        with site.stream(subscription) as stream:
            assert len(stream.collect()) == 1
        assert site.pull(subscription) == []

    def test_two_streams_share_the_messages(self, site: Site) -> None:
        topic = site.topic()
        subscription = site.subscription(topic)
        with site.stream(subscription) as one, site.stream(subscription) as other:
            given: list[str] = []
            shares: list[list[str]] = [[], []]
            deadline = time.monotonic() + 10
            while not all(shares) and time.monotonic() < deadline:  # one may open later
                given += site.publish(topic, *[b"x"] * 10)
                for share, stream in zip(shares, (one, other), strict=True):
                    share += [each.message.message_id for each in stream.collect(20, 0.1)]
        assert all(shares)
        assert not set(shares[0]) & set(shares[1])
        assert set(shares[0] + shares[1]) <= set(given)

    def test_it_ends_well_when_the_client_says_no_more(self, site: Site) -> None:
        with site.stream(site.subscription(site.topic())) as stream:
            stream.half_close()
            assert stream.end() == "OK"

    def test_a_subscription_that_is_not_there_is_not_found(self, site: Site) -> None:
        with site.stream(site.name("subscriptions")) as stream:
            assert stream.end() == "NOT_FOUND"

    def test_one_without_an_ack_deadline(self, site: Site) -> None:
        subscription = site.subscription(site.topic())
        with site.stream(subscription, stream_ack_deadline_seconds=0) as stream:
            seen = stream.end(site.patience)
        assert seen == expected(site, "a stream without an ack deadline")

    def test_its_subscription_is_deleted(self, site: Site) -> None:
        topic = site.topic()
        subscription = site.subscription(topic)
        site.publish(topic, b"x")
        with site.stream(subscription) as stream:
            assert stream.collect()
            site.subscriber.delete_subscription(subscription=subscription)
            seen = stream.end(site.patience)
        assert seen == expected(site, "the subscription of a stream is deleted")
