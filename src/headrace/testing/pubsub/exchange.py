"""The topics and subscriptions of a server, and the way of a message from one to the others."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from google.protobuf.timestamp_pb2 import Timestamp

from headrace.testing.pubsub import names
from headrace.testing.pubsub.refusal import Code, RefusedError, not_found
from headrace.testing.pubsub.subscription import Subscription
from headrace.testing.pubsub.wire import Proto, PubsubMessage
from headrace.testing.pubsub.wire import Topic as TopicProto

if TYPE_CHECKING:
    from headrace.testing.pubsub.held import Held
    from headrace.testing.pubsub.injection import Faults

_DEAD_LETTER: Final = "CloudPubSubDeadLetterSource"


class Topic:
    """A topic; used in the server's own thread alone.

    Attributes:
        proto: How it is set.
        messages: All that was ever published to it.
        subscriptions: Where they go, by name.
    """

    def __init__(self, proto: Proto) -> None:
        """An empty one."""
        self.proto = proto
        self.messages: list[Proto] = []
        self.subscriptions: dict[str, Subscription] = {}


class Exchange:
    """All topics and subscriptions; used in the server's own thread alone.

    Attributes:
        faults: Those in force.
        numbers: Numbers that are not used twice, also not after all was lost.
        least_ack_deadline_s: The shortest that a subscription may have.
        topics: By full name.
        subscriptions: By full name.
    """

    def __init__(self, faults: Faults, numbers: Iterator[int], least_ack_deadline_s: int) -> None:
        """One without topics."""
        self.faults, self.numbers = faults, numbers
        self.least_ack_deadline_s = least_ack_deadline_s
        self.topics: dict[str, Topic] = {}
        self.subscriptions: dict[str, Subscription] = {}

    def topic(self, name: str) -> Topic:
        """The topic of a full name.

        Raises:
            RefusedError: There is none, or it is no name.
        """
        try:
            return self.topics[name]
        except KeyError:
            names.check(name, "topics")
            raise not_found(names.short(name)) from None

    def ensure_topic(self, name: str) -> None:
        """Make a topic, unless it exists.

        Raises:
            RefusedError: It is no name.
        """
        names.check(name, "topics")
        if name not in self.topics:
            self.topics[name] = Topic(TopicProto(name=name))

    def subscription(self, name: str) -> Subscription:
        """The subscription of a full name.

        Raises:
            RefusedError: There is none, or it is no name.
        """
        try:
            return self.subscriptions[name]
        except KeyError:
            names.check(name, "subscriptions")
            raise not_found(names.short(name)) from None

    def publish(self, topic: Topic, messages: Sequence[Proto]) -> list[str]:
        """Bring messages to all subscriptions; their new ids, in order."""
        now = Timestamp()
        now.FromNanoseconds(time.time_ns())
        for message in messages:
            message.message_id = str(next(self.numbers))
            message.publish_time.CopyFrom(now)
            topic.messages.append(message)
            for subscription in topic.subscriptions.values():
                subscription.receive(message)
        return [message.message_id for message in messages]

    def subscribe(self, proto: Proto) -> Subscription:
        """Make a subscription to a topic that exists."""
        topic = self.topic(proto.topic)
        subscription = Subscription(
            proto, faults=self.faults, numbers=self.numbers, forward=self._forward
        )
        self.subscriptions[proto.name] = topic.subscriptions[proto.name] = subscription
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Delete a subscription and what waits in it."""
        del self.subscriptions[subscription.name]
        if subscription.proto.topic in self.topics:
            del self.topics[subscription.proto.topic].subscriptions[subscription.name]
        subscription.close(not_found(subscription.short_name))

    def delete(self, topic: Topic) -> None:
        """Delete a topic; its subscriptions stay, with what waits in them."""
        del self.topics[topic.proto.name]
        for subscription in topic.subscriptions.values():
            subscription.proto.topic = names.DELETED_TOPIC

    def clear(self) -> None:
        """Forget everything."""
        for subscription in self.subscriptions.values():
            subscription.close(RefusedError(Code.UNAVAILABLE, "The server lost its state."))
        self.topics.clear()
        self.subscriptions.clear()

    def wake_all(self) -> None:
        """Let everybody look again for something to take."""
        for subscription in self.subscriptions.values():
            subscription.wake()

    def _forward(self, source: Subscription, held: Held) -> bool:
        topic = self.topics.get(source.proto.dead_letter_policy.dead_letter_topic)
        if topic is None:
            return False
        message = PubsubMessage()
        message.CopyFrom(held.message)
        published = held.message.publish_time.ToJsonString()
        for name, value in {
            "DeliveryCount": str(held.failures),
            "Subscription": source.short_name,
            "SubscriptionProject": names.project_of(source.name),
            "TopicPublishTime": published,
        }.items():
            message.attributes[f"{_DEAD_LETTER}{name}"] = value
        self.publish(topic, [message])
        return True
