"""What was published, as tests look at it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType

from headrace.testing.pubsub.wire import Proto


@dataclass(frozen=True, slots=True)
class PublishedMessage:
    """A message as its topic has it.

    Attributes:
        id: The message id.
        data: Its body.
        attributes: Its attributes.
        ordering_key: Empty where it has none.
        published_at: When the server took it.
    """

    id: str
    data: bytes
    attributes: Mapping[str, str]
    ordering_key: str
    published_at: datetime


def published(message: Proto) -> PublishedMessage:
    """The same, free of protobuf."""
    return PublishedMessage(
        message.message_id,
        message.data,
        MappingProxyType(dict(message.attributes)),
        message.ordering_key,
        message.publish_time.ToDatetime(UTC),
    )
