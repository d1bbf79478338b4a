"""What can go wrong with a `PubSubServer`, on purpose."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

from headrace.testing.pubsub.refusal import Code

_LEAST_WINDOW: Final = 2


class Call(StrEnum):
    """What clients ask of the server."""

    CREATE_TOPIC = "CreateTopic"
    GET_TOPIC = "GetTopic"
    UPDATE_TOPIC = "UpdateTopic"
    DELETE_TOPIC = "DeleteTopic"
    LIST_TOPICS = "ListTopics"
    LIST_TOPIC_SUBSCRIPTIONS = "ListTopicSubscriptions"
    PUBLISH = "Publish"
    CREATE_SUBSCRIPTION = "CreateSubscription"
    GET_SUBSCRIPTION = "GetSubscription"
    UPDATE_SUBSCRIPTION = "UpdateSubscription"
    DELETE_SUBSCRIPTION = "DeleteSubscription"
    LIST_SUBSCRIPTIONS = "ListSubscriptions"
    PULL = "Pull"
    STREAMING_PULL = "StreamingPull"
    ACKNOWLEDGE = "Acknowledge"
    MODIFY_ACK_DEADLINE = "ModifyAckDeadline"
    MODIFY_PUSH_CONFIG = "ModifyPushConfig"
    CERTIFICATES = "Certificates"
    """The keys of the push tokens, by HTTP; a failure there is status 503."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PubSubFault:
    """Something that goes wrong; one of the classes below.

    Attributes:
        share: Of the chances it has, how many it takes: 0 to 1. Drawn with the server's seed.
        times: How often at most; None for ever.
        on: The id or the full name of the one topic or subscription; None for all.
    """

    share: float = 1.0
    times: int | None = None
    on: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"share is a part of 1: 0 to 1, not {self.share}")
        if self.times is not None and self.times < 1:
            raise ValueError(f"times is 1 or more, not {self.times}")


def _check_positive(name: str, value: timedelta) -> None:
    if value <= timedelta(0):
        raise ValueError(f"{name} is more than nothing, not {value}")


def _check_whole(fault: PubSubFault) -> None:
    if fault.share < 1 or fault.times is not None:
        raise ValueError(f"{type(fault).__name__} has neither share nor times: it is, or it is not")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop(PubSubFault):
    """A published message never reaches the subscription. The publisher does not notice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay(PubSubFault):
    """A published message reaches the subscription later.

    Attributes:
        by: How much later. Messages of an ordering key wait for it.
    """

    by: timedelta

    def __post_init__(self) -> None:
        PubSubFault.__post_init__(self)
        _check_positive("by", self.by)


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate(PubSubFault):
    """A message is delivered more than once, with one message id.

    Each copy has to be acknowledged for itself. With two streams the copies go to both.

    Attributes:
        copies: How many there are beside the message itself.
        after: When they follow; a late one comes when the message was acknowledged long ago.
    """

    copies: int = 1
    after: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        PubSubFault.__post_init__(self)
        if self.copies < 1:
            raise ValueError(f"copies is 1 or more, not {self.copies}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reorder(PubSubFault):
    """The next message is any of those that wait, also within an ordering key.

    Attributes:
        window: Of how many it is drawn.
    """

    window: int = 10

    def __post_init__(self) -> None:
        PubSubFault.__post_init__(self)
        if self.window < _LEAST_WINDOW:
            raise ValueError(f"window is {_LEAST_WINDOW} or more, not {self.window}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence(PubSubFault):
    """Nothing is delivered: streams stay open and say nothing, pulls are empty, nothing is pushed.

    It has no `share` and no `times`. What waits is delivered when the fault is removed.
    """

    def __post_init__(self) -> None:
        PubSubFault.__post_init__(self)
        _check_whole(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseStreams(PubSubFault):
    """All streams are closed again and again, as Google does every half hour.

    It has no `share` and no `times`.

    Attributes:
        every: How often.
        code: What the client is told; None closes without an error.
    """

    every: timedelta
    code: Code | None = Code.UNAVAILABLE

    def __post_init__(self) -> None:
        PubSubFault.__post_init__(self)
        _check_whole(self)
        _check_positive("every", self.every)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoseAcks(PubSubFault):
    """An acknowledgement is answered as done, and forgotten; its message comes again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fail(PubSubFault):
    """A call is answered with an error.

    Attributes:
        call: Which one.
        code: What the client is told.
        applied: Whether the call is carried out all the same: the client cannot know. A streaming
            pull never is.
    """

    call: Call
    code: Code = Code.UNAVAILABLE
    applied: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Slow(PubSubFault):
    """A call is answered late.

    Attributes:
        call: Which one.
        by: How much later.
    """

    call: Call
    by: timedelta

    def __post_init__(self) -> None:
        PubSubFault.__post_init__(self)
        _check_positive("by", self.by)
