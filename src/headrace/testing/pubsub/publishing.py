"""The calls of Pub/Sub's `Publisher` service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.testing.pubsub import names
from headrace.testing.pubsub.exchange import Exchange, Topic
from headrace.testing.pubsub.pages import page_of
from headrace.testing.pubsub.refusal import Code, RefusedError, invalid
from headrace.testing.pubsub.settings import TOPIC_FIELDS, changed
from headrace.testing.pubsub.wire import (
    Empty,
    ListTopicsResponse,
    ListTopicSubscriptionsResponse,
    Proto,
    PublishResponse,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_BYTES: Final = 10_000_000
"""Of one request to publish."""
MOST_MESSAGES: Final = 1_000
_MOST_ATTRIBUTES: Final = 100
_KEY_BYTES: Final = 256
_VALUE_BYTES: Final = 1_024


class Publishing:
    """Each method answers one call, or raises RefusedError."""

    def __init__(self, exchange: Exchange) -> None:
        """For the topics of `exchange`."""
        self._exchange = exchange

    async def create_topic(self, request: Proto) -> Proto:
        """Make a topic."""
        names.check(request.name, "topics")
        if request.name in self._exchange.topics:
            resource = names.short(request.name)
            text = f"Resource already exists in the project (resource={resource})."
            raise RefusedError(Code.ALREADY_EXISTS, text)
        self._exchange.topics[request.name] = Topic(request)
        return request

    async def get_topic(self, request: Proto) -> Proto:
        """How a topic is set."""
        return self._exchange.topic(request.topic).proto

    async def update_topic(self, request: Proto) -> Proto:
        """Set some fields of a topic."""
        topic = self._exchange.topic(request.topic.name)
        topic.proto = changed(topic.proto, request, request.topic, TOPIC_FIELDS)
        return topic.proto

    async def delete_topic(self, request: Proto) -> Proto:
        """Delete a topic; its subscriptions stay."""
        self._exchange.delete(self._exchange.topic(request.topic))
        return Empty()

    async def list_topics(self, request: Proto) -> Proto:
        """The topics of a project, by name."""
        found = [name for name in self._exchange.topics if name.startswith(f"{request.project}/")]
        page, token = page_of(found, request)
        topics = [self._exchange.topics[name].proto for name in page]
        return ListTopicsResponse(topics=topics, next_page_token=token)

    async def list_topic_subscriptions(self, request: Proto) -> Proto:
        """The subscriptions of a topic, by name."""
        topic = self._exchange.topic(request.topic)
        page, token = page_of(list(topic.subscriptions), request)
        return ListTopicSubscriptionsResponse(subscriptions=page, next_page_token=token)

    async def publish(self, request: Proto) -> Proto:
        """Publish messages, all or none."""
        topic = self._exchange.topic(request.topic)
        if not request.messages:
            raise invalid("The value for message_count is too small: 1 to 1000 messages.")
        if len(request.messages) > MOST_MESSAGES:
            raise invalid("The value for message_count is too large: 1 to 1000 messages.")
        if request.ByteSize() > MOST_BYTES:
            raise invalid(f"The request has more than {MOST_BYTES} bytes.")
        _check(request.messages)
        return PublishResponse(message_ids=self._exchange.publish(topic, request.messages))


def _check(messages: Iterable[Proto]) -> None:
    for message in messages:
        if not message.data and not message.attributes:
            raise invalid("Some messages in the publish request are empty: no data, no attributes.")
        if len(message.ordering_key) > _VALUE_BYTES:
            raise invalid(f"An ordering key has at most {_VALUE_BYTES} bytes.")
        if len(message.attributes) > _MOST_ATTRIBUTES:
            raise invalid(f"A message has at most {_MOST_ATTRIBUTES} attributes.")
        for key, value in message.attributes.items():
            _check_attribute(key, value)


def _check_attribute(key: str, value: str) -> None:
    if not key or len(key.encode()) > _KEY_BYTES or key.startswith("goog"):
        raise invalid(f"An attribute's key is 1 to {_KEY_BYTES} bytes, and not goog...: {key!r}.")
    if len(value.encode()) > _VALUE_BYTES:
        raise invalid(f"The value of the attribute {key!r} has more than {_VALUE_BYTES} bytes.")
