"""Receives what leaves for topics, as a consumer of another system does, and keeps account."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg
from google.api_core.exceptions import GoogleAPICallError

from headrace.broker.access import Access
from headrace.broker.clients import open_subscriber
from headrace.broker.topology import Names
from headrace.store.outbox import TopicKind, set_topic
from headrace.testing import PubSubServer
from headrace.testing.pubsub import RefusedError
from tests.proof.receipts import ReceiptLedger, receipt_of

if TYPE_CHECKING:
    from google.cloud.pubsub_v1.subscriber.message import Message

TOPICS: Final[tuple[tuple[TopicKind, str], ...]] = (
    ("results", Names().results),
    ("dead-letters", Names().dead_letters),
)
AGAIN_S: Final = 0.1
"""Before a stream that ended is opened again."""
COME_S: Final = 90.0
"""What was on its way when a connection broke comes again within this time."""


class Letters:
    """A consumer of results and dead letters, on the subscriptions that setup makes.

    Attributes:
        forgotten: Ids of events that the server had when it forgot everything.
    """

    def __init__(self, server: PubSubServer, folder: Path) -> None:
        self._server, self._ledger = server, ReceiptLedger(folder / "receipts")
        self._access = Access(server.project, server.address)
        self.forgotten: set[str] = set()
        self.count = 0

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Receive inside an `async with` block, on one stream after the other."""
        tasks = [asyncio.create_task(self._receive(topic)) for _, topic in TOPICS]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _receive(self, topic: str) -> None:
        subscriber = await asyncio.to_thread(open_subscriber, self._access)
        path = self._access.subscription(f"{topic}-sub")
        try:
            while True:
                stream = subscriber.subscribe(path, lambda message: self._take(topic, message))
                try:
                    # It is missing from the moment when all is forgotten until workers miss it.
                    with contextlib.suppress(GoogleAPICallError):
                        await asyncio.wrap_future(stream)
                finally:
                    stream.cancel()
                await asyncio.sleep(AGAIN_S)
        finally:
            await asyncio.to_thread(subscriber.close)

    def _take(self, topic: str, message: Message) -> None:
        """On a thread of the library; those of one key come one after the other."""
        self._ledger.write(
            receipt_of(topic, message.data, message.ordering_key, message.message_id)
        )
        self.count += 1
        message.ack()

    def forget(self) -> None:
        """Note what the server has now: it is about to forget it, so it need not come."""
        for _, topic in TOPICS:
            with contextlib.suppress(RefusedError):
                for message in self._server.messages(topic):
                    receipt = receipt_of(topic, message.data, message.ordering_key, message.id)
                    self.forgotten.add(receipt.event_id)

    async def found_again(self) -> None:
        """Return when there are subscriptions again; what was published before is forgotten."""
        while not all(self._is_there(f"{topic}-sub") for _, topic in TOPICS):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        self.forget()

    async def all_came(self) -> bool:
        """Wait until nothing is on its way any more; whether that was in time."""
        give_up_at = time.monotonic() + COME_S
        while any(self._server.backlog(f"{topic}-sub") for _, topic in TOPICS):
            if time.monotonic() > give_up_at:
                return False
            await asyncio.sleep(0.1)
        return True

    def _is_there(self, subscription: str) -> bool:
        try:
            self._server.backlog(subscription)
        except RefusedError:
            return False
        return True


async def subscribe(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Have results and dead letters written from now on."""
    for kind, topic in TOPICS:
        await set_topic(connection, kind, topic)
