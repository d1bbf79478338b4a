"""How a message is pushed: its body and headers."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace.testing.pubsub.held import Held
    from headrace.testing.pubsub.subscription import Subscription


def wrapped(subscription: Subscription, held: Held) -> bytes:
    """The message and its subscription as JSON, the data in base64."""
    message = held.message
    published = message.publish_time.ToJsonString()
    inner: dict[str, object] = {
        "attributes": dict(message.attributes),
        "messageId": message.message_id,
        "message_id": message.message_id,
        "publishTime": published,
        "publish_time": published,
    }
    if message.data:
        inner["data"] = base64.b64encode(message.data).decode()
    if message.ordering_key:
        inner["orderingKey"] = message.ordering_key
    outer: dict[str, object] = {"message": inner, "subscription": subscription.name}
    attempt = subscription.attempt_of(held)
    if attempt:
        outer["deliveryAttempt"] = attempt
    return json.dumps(outer).encode()


def metadata_headers(subscription: Subscription, held: Held) -> dict[str, str]:
    """What an unwrapped push says in headers where its metadata is asked for."""
    message = held.message
    return {
        "x-goog-pubsub-subscription-name": subscription.name,
        "x-goog-pubsub-message-id": message.message_id,
        "x-goog-pubsub-publish-time": message.publish_time.ToJsonString(),
        **({"x-goog-pubsub-ordering-key": message.ordering_key} if message.ordering_key else {}),
        **dict(message.attributes),
    }
