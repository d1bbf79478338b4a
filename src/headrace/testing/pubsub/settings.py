"""What a subscription may be set to, and what is filled in where nothing is said."""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

from google.protobuf.field_mask_pb2 import FieldMask

from headrace.testing.pubsub import filters, names
from headrace.testing.pubsub.refusal import invalid
from headrace.testing.pubsub.wire import Proto

MOST_ACK_DEADLINE_S: Final = 600
_DEFAULT_ACK_DEADLINE_S: Final = 10
_RETENTION: Final = (timedelta(minutes=10), timedelta(days=31))
_DEFAULT_RETENTION: Final = timedelta(days=7)
_DEFAULT_EXPIRATION: Final = timedelta(days=31)
_BACKOFF: Final = (timedelta(seconds=10), timedelta(seconds=600))  # both bounds, where none is said
_ATTEMPTS: Final = range(5, 101)

TOPIC_FIELDS: Final = frozenset(
    {"kms_key_name", "labels", "message_retention_duration", "message_storage_policy"}
)
SUBSCRIPTION_FIELDS: Final = frozenset(
    {
        "ack_deadline_seconds",
        "dead_letter_policy",
        "enable_exactly_once_delivery",
        "expiration_policy",
        "labels",
        "message_retention_duration",
        "push_config",
        "retain_acked_messages",
        "retry_policy",
    }
)


def complete(subscription: Proto, least_ack_deadline_s: int) -> None:
    """Fill in what Google fills in.

    Raises:
        RefusedError: Something is outside its bounds.
    """
    if subscription.ack_deadline_seconds == 0:
        subscription.ack_deadline_seconds = _DEFAULT_ACK_DEADLINE_S
    if not least_ack_deadline_s <= subscription.ack_deadline_seconds <= MOST_ACK_DEADLINE_S:
        raise invalid(
            f"Invalid ack deadline given (deadline={subscription.ack_deadline_seconds}): "
            f"{least_ack_deadline_s} to {MOST_ACK_DEADLINE_S} seconds."
        )
    _complete_retention(subscription)
    if not subscription.HasField("expiration_policy"):
        subscription.expiration_policy.ttl.FromTimedelta(_DEFAULT_EXPIRATION)
    if subscription.HasField("retry_policy"):
        _complete_backoff(subscription.retry_policy)
    if subscription.HasField("dead_letter_policy"):
        _complete_dead_letters(subscription.dead_letter_policy)
    check_push(subscription.push_config)
    filters.parse(subscription.filter)


def check_push(config: Proto) -> None:
    """Let a push configuration pass.

    Raises:
        RefusedError: Its endpoint is no address of HTTP.
    """
    parts = urlsplit(config.push_endpoint)
    if config.push_endpoint and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise invalid(f"Invalid push endpoint given (endpoint={config.push_endpoint}).")


def _complete_retention(subscription: Proto) -> None:
    if not subscription.HasField("message_retention_duration"):
        subscription.message_retention_duration.FromTimedelta(_DEFAULT_RETENTION)
    retention = subscription.message_retention_duration.ToTimedelta()
    if not _RETENTION[0] <= retention <= _RETENTION[1]:
        raise invalid(f"Invalid message retention duration ({retention}): 10 minutes to 31 days.")


def _complete_backoff(policy: Proto) -> None:
    for name, default in zip(("minimum_backoff", "maximum_backoff"), _BACKOFF, strict=True):
        if not policy.HasField(name):
            getattr(policy, name).FromTimedelta(default)
    least, most = policy.minimum_backoff.ToTimedelta(), policy.maximum_backoff.ToTimedelta()
    if not timedelta(0) <= least <= most <= _BACKOFF[1]:
        raise invalid(f"Invalid retry policy ({least} to {most}): in order, 0 to 600 seconds.")


def _complete_dead_letters(policy: Proto) -> None:
    names.check(policy.dead_letter_topic, "topics")
    if policy.max_delivery_attempts == 0:
        policy.max_delivery_attempts = _ATTEMPTS.start
    if policy.max_delivery_attempts not in _ATTEMPTS:
        raise invalid(f"Invalid max delivery attempts ({policy.max_delivery_attempts}): 5 to 100.")


def changed(current: Proto, request: Proto, given: Proto, fields: frozenset[str]) -> Proto:
    """A copy of `current` with the fields of the request's mask taken from `given`.

    Raises:
        RefusedError: The mask is empty, or names what is not among `fields`.
    """
    paths = list(request.update_mask.paths)
    if not paths:
        raise invalid("The update_mask in the request must not be empty.")
    for path in paths:
        if path not in fields:
            raise invalid(f"Invalid update_mask provided in the request: {path!r}.")
    new = type(current)()
    new.CopyFrom(current)
    # True: as a whole, so that what `given` leaves out is taken away.
    FieldMask(paths=paths).MergeMessage(given, new, True, True)  # noqa: FBT003 - as its API has it
    return new


def backoff(subscription: Proto, failures: int) -> timedelta:
    """How long a message waits after it failed so many times."""
    if not subscription.HasField("retry_policy"):
        return timedelta(0)
    policy = subscription.retry_policy
    least, most = policy.minimum_backoff.ToTimedelta(), policy.maximum_backoff.ToTimedelta()
    doublings = min(failures - 1, 20)  # 2 ** 20 of the least is more than any bound
    wait: timedelta = min(least * 2**doublings, most)
    return wait
