"""Makes the topics and subscriptions that are missing, and says what is not as it should be."""

from __future__ import annotations

import asyncio
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from google.api_core import exceptions
from google.protobuf.field_mask_pb2 import FieldMask
from google.pubsub_v1 import types

from headrace.broker.clients import open_publisher, open_subscriber, unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.cloud.pubsub_v1 import SubscriberClient
    from google.pubsub_v1 import PublisherClient

    from headrace.broker.access import Access
    from headrace.broker.topology import Subscription, Topic, Topology

CALL: Final[dict[str, Any]] = {"retry": None, "timeout": 10.0}
State: TypeAlias = Literal["ok", "created", "changed", "missing", "differs"]
FIXED: Final = frozenset({"topic", "filter", "enable_message_ordering"})
"""What cannot be changed once a subscription is there: it has to be deleted first."""
TOPIC_FIELDS: Final = ("message_retention_duration",)
DELETED: Final = "_deleted-topic_"


@dataclass(frozen=True, slots=True)
class Found:
    """What became of one topic or subscription.

    Attributes:
        state: `ok`; `created` or `changed` now; `missing` or `differs` still.
        differences: Settings that were not, or are not, as they should be, in words.
    """

    kind: Literal["topic", "subscription"]
    name: str
    state: State
    differences: tuple[str, ...] = ()

    @property
    def is_drift(self) -> bool:
        """Whether something is not as it should be."""
        return self.state in {"missing", "differs"}


async def set_up(access: Access, topology: Topology, *, check: bool = False) -> list[Found]:
    """Make what is missing, and change what differs; nothing of what could only change in part.

    Args:
        access: Whose Pub/Sub.
        topology: What there should be.
        check: Change nothing, only look.

    Returns:
        What was found, topics first, in the order of `topology`.

    Raises:
        BrokerUnavailableError: Pub/Sub does not answer, or does not permit it.
    """
    return await asyncio.to_thread(_set_up, access, topology, check=check)


def _set_up(access: Access, topology: Topology, *, check: bool) -> list[Found]:
    publisher = open_publisher(access)
    subscriber = open_subscriber(access)
    with closing(publisher.transport), subscriber:
        found = [_topic(publisher, access, topic, check=check) for topic in topology.topics]
        return found + [
            _subscription(subscriber, access, one, check=check) for one in topology.subscriptions
        ]


# --- topics ---------------------------------------------------------------------------------------


def _topic(publisher: PublisherClient, access: Access, topic: Topic, *, check: bool) -> Found:
    wanted = types.Topic(name=access.topic(topic.name))
    if topic.retention is not None:
        wanted.message_retention_duration = topic.retention
    try:
        present = publisher.get_topic(topic=wanted.name, **CALL)
    except exceptions.NotFound:
        if check:
            return Found("topic", topic.name, "missing")
        _try(f"topic {topic.name}", lambda: publisher.create_topic(request=wanted, **CALL))
        return Found("topic", topic.name, "created")
    except exceptions.GoogleAPICallError as error:
        raise unavailable(error, f"topic {topic.name}") from error
    differing = dict(_differences(present, wanted, TOPIC_FIELDS))
    return _settled(
        Found("topic", topic.name, "ok"),
        differing,
        None if check else lambda mask: publisher.update_topic(
            topic=wanted, update_mask=mask, **CALL
        ),
    )  # fmt: skip


# --- subscriptions --------------------------------------------------------------------------------


def _subscription(
    subscriber: SubscriberClient, access: Access, subscription: Subscription, *, check: bool
) -> Found:
    name = subscription.name
    wanted = described(access, subscription)
    try:
        present = subscriber.get_subscription(subscription=wanted.name, **CALL)
    except exceptions.NotFound:
        if check:
            return Found("subscription", name, "missing")
        _try(f"subscription {name}", lambda: subscriber.create_subscription(request=wanted, **CALL))
        return Found("subscription", name, "created")
    except exceptions.GoogleAPICallError as error:
        raise unavailable(error, f"subscription {name}") from error
    differing = dict(_differences(present, wanted, SUBSCRIPTION_FIELDS))
    return _settled(
        Found("subscription", name, "ok"),
        differing,
        None if check else lambda mask: subscriber.update_subscription(
            subscription=wanted, update_mask=mask, **CALL
        ),
    )  # fmt: skip


SUBSCRIPTION_FIELDS: Final = (
    *("topic", "ack_deadline_seconds", "message_retention_duration", "filter"),
    *("enable_message_ordering", "retry_policy", "dead_letter_policy", "expiration_policy"),
    "push_config",
)


def described(access: Access, subscription: Subscription) -> types.Subscription:
    """A subscription as Pub/Sub has it."""
    made = types.Subscription(
        name=access.subscription(subscription.name),
        topic=access.topic(subscription.topic),
        ack_deadline_seconds=int(subscription.ack_deadline.total_seconds()),
        message_retention_duration=subscription.retention,
        filter=subscription.filter,
        enable_message_ordering=subscription.ordered,
        expiration_policy=types.ExpirationPolicy(),  # without a time it never expires
    )
    if subscription.retry is not None:
        least, most = subscription.retry
        made.retry_policy = types.RetryPolicy(minimum_backoff=least, maximum_backoff=most)
    if subscription.dead_letters is not None:
        made.dead_letter_policy = types.DeadLetterPolicy(
            dead_letter_topic=access.topic(subscription.dead_letters.topic),
            max_delivery_attempts=subscription.dead_letters.deliveries,
        )
    if subscription.push is not None:
        made.push_config = types.PushConfig(
            push_endpoint=subscription.push.endpoint,
            oidc_token=types.PushConfig.OidcToken(
                service_account_email=subscription.push.account,
                audience=subscription.push.audience,
            ),
        )
    return made


# --- both -----------------------------------------------------------------------------------------


def _settled(found: Found, differing: dict[str, str], change: Any | None) -> Found:  # noqa: ANN401 - a call of the library
    """What is to be said of something that is there, after it was changed if it may be."""
    if not differing:
        return found
    said = tuple(differing.values())
    if change is None or not FIXED.isdisjoint(differing):  # it may be meant for something else
        return Found(found.kind, found.name, "differs", said)
    _try(f"{found.kind} {found.name}", lambda: change(FieldMask(paths=list(differing))))
    return Found(found.kind, found.name, "changed", said)


def _differences(
    present: Any, wanted: Any, fields: tuple[str, ...]  # noqa: ANN401 - messages of the library
) -> Iterator[tuple[str, str]]:  # fmt: skip
    for field in fields:
        is_, should = _value(present, field), _value(wanted, field)
        if is_ != should:
            yield field, f"{field}: {is_} instead of {should}"


def _value(message: Any, field: str) -> str:  # noqa: ANN401
    """A field in words, so that two of them can be compared and shown."""
    if field == "expiration_policy":
        return _expiration(message)
    if field not in message:
        return "not set"
    value = getattr(message, field)
    if field == "push_config":
        return _push(value)
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g} s"
    if hasattr(type(value), "pb"):
        return " ".join(f"{type(value).pb(value)}".split()) or "not set"
    return str(value)


def _expiration(message: Any) -> str:  # noqa: ANN401
    if "expiration_policy" not in message:
        return "31 days"  # Pub/Sub's own
    if "ttl" not in message.expiration_policy:
        return "never"
    return str(message.expiration_policy.ttl)


def _push(config: types.PushConfig) -> str:
    """What we set of it; Pub/Sub adds to the rest."""
    if not config.push_endpoint:
        return "not set"
    token = config.oidc_token
    return f"{config.push_endpoint} for {token.service_account_email} as {token.audience}"


def _try(what: str, call: Any) -> None:  # noqa: ANN401 - a call of the library
    try:
        call()
    except exceptions.AlreadyExists:
        pass  # another process was faster
    except exceptions.GoogleAPICallError as error:
        raise unavailable(error, what) from error
