"""One server of the suite, and what Google's generated clients say about it."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from queue import Empty, SimpleQueue
from typing import Any, Final, Literal, Self, TypeAlias

import grpc
from google.api_core.exceptions import GoogleAPICallError
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport
from google.pubsub_v1.types import (
    PublishRequest,
    PubsubMessage,
    ReceivedMessage,
    StreamingPullRequest,
    StreamingPullResponse,
    Subscription,
    Topic,
)

ServerName: TypeAlias = Literal["headrace", "pstest"]

PROJECT: Final = "projects/conformance"
SHORTEST: Final = timedelta(seconds=1)
"""The shortest ack deadline that both servers are told to allow."""
_OPTIONS: Final = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class Site:
    """A server with its clients. Each test makes its own topics in it."""

    def __init__(self, server: ServerName, address: str) -> None:
        self.server: Final = server
        self.address: Final = address
        self._channel = grpc.insecure_channel(address, _OPTIONS)
        self.publisher = PublisherClient(transport=PublisherGrpcTransport(channel=self._channel))
        self.subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=self._channel))
        self._numbers = itertools.count(1)

    @property
    def patience(self) -> float:
        """Seconds to wait for what only headrace's server does."""
        return 5.0 if self.server == "headrace" else 0.5

    def close(self) -> None:
        self._channel.close()

    def name(self, kind: Literal["topics", "subscriptions"]) -> str:
        """A full name that nobody has."""
        return f"{PROJECT}/{kind}/{kind[:-1]}-{next(self._numbers)}"

    def topic(self) -> str:
        """A new topic."""
        name = self.name("topics")
        self.publisher.create_topic(Topic(name=name))
        return name

    def subscription(self, topic: str, **settings: Any) -> str:
        """A new subscription; its ack deadline is 10 s unless it is given."""
        name = self.name("subscriptions")
        given = {"ack_deadline_seconds": 10, **settings}
        request = Subscription(name=name, topic=topic, **given)
        # pstest refuses some with a code that the client would try again for a minute.
        self.subscriber.create_subscription(request, retry=None, timeout=10)
        return name

    def publish(self, topic: str, *data: bytes, **attributes: str) -> list[str]:
        """The ids of new messages, one for each data."""
        messages = [PubsubMessage(data=each, attributes=attributes) for each in data]
        request = PublishRequest(topic=topic, messages=messages)
        return list(self.publisher.publish(request, retry=None, timeout=10).message_ids)

    def pull(self, subscription: str, most: int = 100) -> list[ReceivedMessage]:
        """What there is, or comes within half a second."""
        request = {"subscription": subscription, "max_messages": most}
        return list(self.subscriber.pull(request, timeout=10).received_messages)

    def collect(
        self, subscription: str, count: int = 1, within: float = 5
    ) -> list[ReceivedMessage]:
        """The next `count` messages, or fewer when they do not come in time."""
        deadline = time.monotonic() + within
        found: list[ReceivedMessage] = []
        while len(found) < count and time.monotonic() < deadline:
            found += self.pull(subscription, count - len(found))
        return found

    def acknowledge(self, subscription: str, *ack_ids: str) -> None:
        self.subscriber.acknowledge(subscription=subscription, ack_ids=ack_ids)

    def extend(self, subscription: str, seconds: int, *ack_ids: str) -> None:
        """Move ack deadlines; 0 gives the messages back."""
        self.subscriber.modify_ack_deadline(
            subscription=subscription, ack_ids=ack_ids, ack_deadline_seconds=seconds
        )

    def stream(self, subscription: str, **settings: Any) -> Stream:
        """A streaming pull; its ack deadline is 10 s unless it is given."""
        given = {"stream_ack_deadline_seconds": 10, **settings}
        return Stream(self.subscriber, StreamingPullRequest(subscription=subscription, **given))


def outcome(call: Callable[[], object]) -> str:
    """How a call ends: OK, or the name of the error's code."""
    try:
        call()
    except GoogleAPICallError as error:
        return str(error.grpc_status_code.name)
    return "OK"


class Stream:
    """An open streaming pull, inside a `with` block."""

    def __init__(self, subscriber: SubscriberClient, first: StreamingPullRequest) -> None:
        self._said: SimpleQueue[StreamingPullRequest | None] = SimpleQueue()
        self._heard: SimpleQueue[ReceivedMessage] = SimpleQueue()
        self._said.put(first)
        self._call = subscriber.streaming_pull(requests=iter(self._said.get, None))
        self._end = "open"
        self._listener = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Self:
        self._listener.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._said.put(None)
        self._call.cancel()
        self._listener.join(5)

    def say(self, **request: Any) -> None:
        """Send a further request."""
        self._said.put(StreamingPullRequest(**request))

    def half_close(self) -> None:
        """Say nothing more."""
        self._said.put(None)

    def collect(self, count: int = 1, within: float = 5) -> list[ReceivedMessage]:
        """The next `count` messages, or fewer when they do not come in time."""
        deadline = time.monotonic() + within
        found: list[ReceivedMessage] = []
        while len(found) < count:
            try:
                found.append(self._heard.get(timeout=max(0, deadline - time.monotonic())))
            except Empty:
                break
        return found

    def end(self, within: float = 5) -> str:
        """How the stream ended: OK, the name of the error's code, or open when it has not."""
        self._listener.join(within)
        return self._end

    def _listen(self) -> None:
        self._end = outcome(lambda: self._receive(self._call))

    def _receive(self, responses: Iterator[StreamingPullResponse]) -> None:
        for response in responses:
            for message in response.received_messages:
                self._heard.put(message)


def data_of(messages: Sequence[ReceivedMessage]) -> list[bytes]:
    return [each.message.data for each in messages]


def ack_ids_of(messages: Sequence[ReceivedMessage]) -> list[str]:
    return [each.ack_id for each in messages]
