"""Hears rings: Google's streaming pull, whose messages become tasks of the event loop.

The library calls for each message on threads of its own; a scheduler of ours hands it to the loop,
so that no thread waits for an answer. It extends the lease of a message until it is acknowledged,
for ten minutes at most, and opens the stream again when the server closes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue as queues
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from google.api_core.exceptions import NotFound
from google.cloud.pubsub_v1.subscriber.scheduler import Scheduler
from google.cloud.pubsub_v1.types import FlowControl

from headrace.broker.clients import open_subscriber, unavailable
from headrace.broker.received import incoming_of
from headrace.telemetry.events import emit, enabled
from headrace.telemetry.messaging_events import MessageReturned, MessageSettled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
    from datetime import timedelta

    from google.cloud.pubsub_v1.subscriber.futures import StreamingPullFuture
    from google.cloud.pubsub_v1.subscriber.message import Message

    from headrace.broker.access import Access
    from headrace.broker.broker import Answer, Take

DOORBELL: Final = "doorbell"
LEASE_MOST_S: Final = 600
"""A message that nobody acknowledged for so long is given back, whatever the reason."""
CLOSE_S: Final = 5.0
RETURN_S: Final = 60
"""A message that this process cannot settle comes back after so long, not at once and for ever."""
SHOWN_MOST: Final = 40
OTHER: Final = "other"
"""The kind of all messages but doorbells, where they are counted."""


class PubSubDoorbell:
    """Rings of one subscription.

    Args:
        access: Whose Pub/Sub.
        subscription: The subscription's own name.
        ack_deadline: Of the subscription: by so much a lease is extended at a time.
        most_bytes: Of messages under way at once.
        repair: Makes the subscription, where that is the program's own task: called when it is
            missing.
    """

    name = "pubsub"

    def __init__(
        self,
        access: Access,
        subscription: str,
        *,
        ack_deadline: timedelta,
        most_bytes: int,
        repair: Callable[[], Awaitable[bool]],
    ) -> None:
        self._access, self._subscription, self._repair = access, subscription, repair
        self._ack_deadline_s = int(ack_deadline.total_seconds())
        self._most_bytes = most_bytes

    @contextlib.asynccontextmanager
    async def open(
        self, answer: Answer, *, slots: int, take: Take | None = None
    ) -> AsyncIterator[Stream]:
        """As `Doorbell.open`.

        Raises:
            BrokerUnavailableError: There are no credentials.
        """
        subscriber = await asyncio.to_thread(open_subscriber, self._access)
        stream = Stream(self._subscription, answer, take, repair=self._repair)
        try:
            stream.future = subscriber.subscribe(
                self._access.subscription(self._subscription),
                stream.take,
                flow_control=FlowControl(
                    max_messages=slots,
                    max_bytes=self._most_bytes,
                    max_lease_duration=LEASE_MOST_S,
                    max_duration_per_lease_extension=self._ack_deadline_s,
                ),
                scheduler=stream.scheduler,  # type: ignore[arg-type]  # any Scheduler will do
                await_callbacks_on_shutdown=True,
            )
            yield stream
        finally:
            await stream.close()
            await asyncio.to_thread(subscriber.close)


class Stream:
    """One open stream; the library replaces the connection under it as often as it breaks."""

    future: StreamingPullFuture

    def __init__(
        self,
        subscription: str,
        answer: Answer,
        take: Take | None,
        *,
        repair: Callable[[], Awaitable[bool]],
    ) -> None:
        self._subscription, self._answer, self._repair = subscription, answer, repair
        self._take = take
        self.scheduler = LoopScheduler(asyncio.get_running_loop())
        self.heard_at = monotonic()

    async def ended(self) -> None:
        """As `Hearing.ended`."""
        try:
            await asyncio.shield(_end_of(self.future))
        except asyncio.CancelledError:
            raise
        except Exception as error:  # the library's own, or one of gRPC's
            if isinstance(error, NotFound):
                await self._repair()
            raise unavailable(error, f"subscription {self._subscription}") from error

    async def close(self) -> None:
        """Stop; rings that are being answered are acknowledged first, for 5 s at most."""
        future: StreamingPullFuture | None = getattr(self, "future", None)
        if future is not None:
            future.cancel()
            await asyncio.wait({_end_of(future)}, timeout=CLOSE_S)

    def take(self, message: Message) -> None:
        """Take a message, on the loop."""
        self.heard_at = monotonic()
        if message.attributes.get("kind") == DOORBELL:
            self.scheduler.begin(self._ring(message))
        elif self._take is not None:
            self.scheduler.begin(_settle(message, self._take))
        else:
            _give_back(message)

    async def _ring(self, message: Message) -> None:
        try:
            await self._answer(message.attributes.get("queue", ""))
        finally:
            # Also after a failure: the jobs stay in the database, where polling finds them.
            message.ack()
            _tell(message, DOORBELL, "rung")


async def _settle(message: Message, take: Take) -> None:
    """Acknowledge a message when it is done with, and only then."""
    settled = False
    try:
        settled = await take(incoming_of(message))
    finally:
        if settled:
            message.ack()
        else:
            message.nack()  # it comes again after the wait that the subscription has for that


def _give_back(message: Message) -> None:
    """Let a message come back later, perhaps to a worker that knows what to do with it."""
    message.modify_ack_deadline(RETURN_S)
    message.drop()
    kind = str(message.attributes.get("kind", ""))[:SHOWN_MOST]
    reason = "nothing here takes messages of this kind"
    emit(MessageReturned(message_id=message.message_id, kind=kind, reason=reason))
    _tell(message, OTHER, "returned")


def _tell(message: Message, kind: str, outcome: str) -> None:
    if enabled(MessageSettled):
        emit(
            MessageSettled(
                message_id=message.message_id,
                kind=kind,
                outcome=outcome,
                message_latency_ms=incoming_of(message).age_ms,
            )
        )


def _end_of(future: StreamingPullFuture) -> asyncio.Future[Any]:
    """The end of a stream; nobody has to ask for its error."""
    end = asyncio.wrap_future(future)
    end.add_done_callback(lambda done: done.cancelled() or done.exception())
    return end


class LoopScheduler(Scheduler):
    """Calls back on the event loop; its end waits until what was begun has ended."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._requests: queues.Queue[Any] = queues.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._dropped: list[Any] = []

    @property
    def queue(self) -> queues.Queue[Any]:
        """Where acknowledgements go; the library's threads send what is in it."""
        return self._requests

    def schedule(self, callback: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Call back soon, on the loop; called by the library's threads."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: the message comes back
            self._loop.call_soon_threadsafe(self._call, callback, args, kwargs)

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Run what a callback cannot end at once."""
        task = self._loop.create_task(work, name="headrace ring")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def shutdown(self, await_msg_callbacks: bool = False) -> list[Any]:  # noqa: FBT001, FBT002 - the base's
        """Wait for what was begun, where that is asked for; called by a thread of the library.

        Returns:
            The messages that were not begun, so that they come back at once.
        """
        if await_msg_callbacks:
            with contextlib.suppress(RuntimeError, TimeoutError):
                done = asyncio.run_coroutine_threadsafe(self._finish(), self._loop)
                done.result(CLOSE_S)
        return self._dropped

    async def _finish(self) -> None:
        # Scheduled after every call that the library made before: all tasks are known by now.
        self._closed = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_S)

    def _call(
        self, callback: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        if self._closed:
            self._dropped.append(args[0])
        else:
            callback(*args, **kwargs)
