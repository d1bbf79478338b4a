"""The one publisher of a process: messages go out in requests of our own making.

One request holds the messages of one call, in their order, and succeeds or fails as a whole; a call
that is made after another one has returned is published after it. So the order of messages with one
ordering key is the order in which they are given, and no key needs to be resumed after an error,
as it does with the batches of Google's own publisher. A request waits in a thread, never the loop.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Final

from google.api_core import exceptions
from google.pubsub_v1 import PublishRequest

from headrace.broker.clients import open_publisher, unavailable
from headrace.errors import BrokerUnavailableError, MessageRefusedError
from headrace.telemetry.events import emit
from headrace.telemetry.messaging_events import MessagesPublished, PublishSlow

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from google.pubsub_v1 import PublisherClient

    from headrace.broker.access import Access

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 10.0
CALL_S: Final = 10.0
"""A request that takes longer is taken for lost: it may have been published all the same."""
WITHIN_S: Final = 30.0
SLOW_S: Final = 30.0
MOST_BYTES: Final = 10_000_000
"""Of one message, and of one request."""
THREADS: Final = 4
ATTRIBUTE_MOST: Final = 1_024
FINAL: Final = (exceptions.NotFound, exceptions.PermissionDenied, exceptions.Unauthenticated)
"""Trying again within seconds does not help."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message.

    Attributes:
        data: Its body.
        attributes: What subscriptions filter by.
        ordering_key: Messages of one key arrive in the order in which they were published.
    """

    data: bytes
    attributes: Mapping[str, str] = field(default_factory=dict)
    ordering_key: str = ""

    @property
    def size(self) -> int:
        """Bytes that it adds to a request, about."""
        texts = (*self.attributes, *self.attributes.values(), self.ordering_key)
        return len(self.data) + sum(len(text.encode()) + 8 for text in texts)


class Publisher:
    """Publishes for all parts of a process; connects when it is first used.

    Args:
        access: Whose Pub/Sub.
        repair: Makes the topics, where that is the program's own task, and says whether it is:
            called once when one is missing.
    """

    def __init__(self, access: Access, *, repair: Callable[[], Awaitable[bool]]) -> None:
        self._access, self._repair = access, repair
        self._opening = threading.Lock()
        self._client: PublisherClient | None = None
        self._threads: ThreadPoolExecutor | None = None

    async def publish(
        self, topic: str, messages: Sequence[Message], *, within_s: float = WITHIN_S
    ) -> list[str]:
        """Publish messages in one request, and try again until it succeeds.

        Args:
            topic: The topic's own name.
            messages: 1 to 1,000, of 10 MB together.
            within_s: Seconds after which it gives up.

        Returns:
            The ids that the messages got, in their order.

        Raises:
            BrokerUnavailableError: It did not succeed. The messages may have been published.
            MessageRefusedError: One of them is too large, or else not valid; none was published.
        """
        if sum(message.size for message in messages) > MOST_BYTES:
            raise MessageRefusedError(topic, f"more than {MOST_BYTES:,} bytes")
        began = monotonic()
        request = PublishRequest(
            topic=self._access.topic(topic),
            messages=[
                {
                    "data": message.data,
                    "attributes": dict(message.attributes),
                    "ordering_key": message.ordering_key,
                }
                for message in messages
            ],
        )
        ids = await self._persist(topic, request, began + within_s)
        _tell(topic, len(messages), monotonic() - began)
        return ids

    async def close(self) -> None:
        """Break off what is under way; a later call opens it again."""
        threads, self._threads = self._threads, None
        client, self._client = self._client, None
        if client is not None:
            await asyncio.to_thread(client.transport.close)
        if threads is not None:
            threads.shutdown(wait=False, cancel_futures=True)

    async def _persist(self, topic: str, request: PublishRequest, give_up_at: float) -> list[str]:
        pause_s, repaired = FIRST_PAUSE_S, False
        while True:
            left_s = give_up_at - monotonic()
            try:
                return await self._call(request, min(CALL_S, max(0.1, left_s)))
            except exceptions.InvalidArgument as error:
                raise MessageRefusedError(topic, error.message) from error
            except exceptions.NotFound as error:
                if repaired or not await self._repair():
                    raise unavailable(error, f"topic {topic}") from error
                repaired = True
                continue
            except BrokerUnavailableError:
                raise
            except Exception as error:  # a thread's: whatever the library raises, the loop goes on
                if isinstance(error, FINAL) or give_up_at - monotonic() <= pause_s:
                    raise unavailable(error, f"topic {topic}") from error
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    async def _call(self, request: PublishRequest, timeout_s: float) -> list[str]:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="headrace publisher")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._send, request, timeout_s)

    def _send(self, request: PublishRequest, timeout_s: float) -> list[str]:
        """In a thread: open the client where there is none, and send once."""
        with self._opening:
            client = self._client
            if client is None:
                client = self._client = open_publisher(self._access)
        # Retried by `_persist`, which gives the thread back between two tries.
        answer = client.publish(request, retry=None, timeout=timeout_s)
        return list(answer.message_ids)


def _tell(topic: str, messages: int, took_s: float) -> None:
    latency_ms = round(1_000 * took_s, 3)
    emit(MessagesPublished(topic=topic, messages=messages, publish_latency_ms=latency_ms))
    if took_s > SLOW_S:
        emit(PublishSlow(topic=topic, messages=messages, took_s=round(took_s, 3)))
