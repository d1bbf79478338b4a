from google.protobuf.field_mask_pb2 import FieldMask
from google.pubsub_v1.types import Topic, UpdateTopicRequest

from tests.pubsub.conformance.differences import expected
from tests.pubsub.conformance.site import PROJECT, Site, outcome


def names_of(site: Site, project: str) -> list[str]:
    return [topic.name for topic in site.publisher.list_topics(project=project)]


class TestCreateTopic:
    def test_it_is_there_as_it_was_asked_for(self, site: Site) -> None:
        asked = Topic(name=site.name("topics"), labels={"team": "water"})
        created = site.publisher.create_topic(asked)
        assert created.name == asked.name
        assert site.publisher.get_topic(topic=asked.name).labels == {"team": "water"}

    def test_a_second_one_of_the_name_is_refused(self, site: Site) -> None:
        name = site.topic()
        assert outcome(lambda: site.publisher.create_topic(name=name)) == "ALREADY_EXISTS"

    def test_a_malformed_name(self, site: Site) -> None:
        name = f"{PROJECT}/topics/1st"
        seen = outcome(lambda: site.publisher.create_topic(name=name))
        assert seen == expected(site, "a topic's name is malformed")


class TestUpdateTopic:
    def test_only_what_the_mask_names_is_changed(self, site: Site) -> None:
        name = site.topic()
        new = Topic(name=name, labels={"a": "b"}, kms_key_name="no")
        request = UpdateTopicRequest(topic=new, update_mask=FieldMask(paths=["labels"]))
        assert site.publisher.update_topic(request).labels == {"a": "b"}
        assert site.publisher.get_topic(topic=name).kms_key_name == ""

    def test_what_cannot_be_changed_is_refused(self, site: Site) -> None:
        request = UpdateTopicRequest(
            topic=Topic(name=site.topic()), update_mask=FieldMask(paths=["name"])
        )
        assert outcome(lambda: site.publisher.update_topic(request)) == "INVALID_ARGUMENT"


class TestDeleteTopic:
    def test_it_is_gone(self, site: Site) -> None:
        name = site.topic()
        site.publisher.delete_topic(topic=name)
        assert outcome(lambda: site.publisher.get_topic(topic=name)) == "NOT_FOUND"
        assert outcome(lambda: site.publisher.delete_topic(topic=name)) == "NOT_FOUND"

    def test_its_subscriptions_stay_with_what_waits_in_them(self, site: Site) -> None:
        name = site.topic()
        subscription = site.subscription(name)
        site.publish(name, b"x")
        site.publisher.delete_topic(topic=name)
        found = site.subscriber.get_subscription(subscription=subscription)
        assert found.topic == "_deleted-topic_"
        assert [each.message.data for each in site.collect(subscription)] == [b"x"]


class TestListTopics:
    def test_they_come_by_name_a_page_at_a_time(self, site: Site) -> None:
        project = f"{PROJECT}-listing"
        names = [f"{project}/topics/{letter * 3}" for letter in "cab"]
        for name in names:
            site.publisher.create_topic(name=name)
        request = {"project": project, "page_size": 2}
        pages = [
            [topic.name for topic in page.topics]
            for page in site.publisher.list_topics(request).pages
        ]
        assert pages == [sorted(names)[:2], sorted(names)[2:]]

    def test_those_of_a_project_whose_name_begins_with_this_one(self, site: Site) -> None:
        site.publisher.create_topic(name=f"{PROJECT}-prefix-longer/topics/abc")
        seen = len(names_of(site, f"{PROJECT}-prefix"))
        assert seen == expected(site, "a project's name begins with another's")

    def test_the_subscriptions_of_a_topic(self, site: Site) -> None:
        topic = site.topic()
        names = [site.subscription(topic) for _ in range(3)]
        site.subscription(site.topic())
        assert list(site.publisher.list_topic_subscriptions(topic=topic)) == sorted(names)
