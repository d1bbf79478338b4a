"""A streaming pull."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import grpc

from headrace.testing.pubsub.consumer import Consumer
from headrace.testing.pubsub.refusal import RefusedError, invalid
from headrace.testing.pubsub.subscribing import check_deadline, received
from headrace.testing.pubsub.wire import Proto, StreamingPullResponse

if TYPE_CHECKING:
    from headrace.testing.pubsub.subscription import Subscription

_BATCH: Final = 500


class Stream(Consumer):
    """One open stream of a client: what it is sent, and what it says in between."""

    def __init__(self, subscription: Subscription, first: Proto, least_deadline_s: int) -> None:
        """A stream that its first request opens.

        Raises:
            RefusedError: That request is wrong.
        """
        super().__init__(
            most_messages=first.max_outstanding_messages, most_bytes=first.max_outstanding_bytes
        )
        self._subscription, self._least_deadline_s = subscription, least_deadline_s
        self._set_deadline(first.stream_ack_deadline_seconds, required=True)

    async def run(self, context: Any) -> None:  # noqa: ANN401 - gRPC ships no types
        """Deliver until the client ends the stream, or somebody closes it.

        Raises:
            RefusedError: How it ends, if not well.
        """
        self._subscription.consumers.append(self)
        try:
            async with asyncio.TaskGroup() as group:
                reader = group.create_task(self._read(context))
                await self._write(context)
                reader.cancel()
        finally:
            self._subscription.consumers.remove(self)
        if self.error is not None:
            raise self.error

    async def _read(self, context: Any) -> None:  # noqa: ANN401 - gRPC ships no types
        while not self.is_closed:
            request = await context.read()
            if request is grpc.aio.EOF:
                self.close()
                return
            try:
                self._apply(request)
            except RefusedError as error:
                self.close(error)

    async def _write(self, context: Any) -> None:  # noqa: ANN401 - gRPC ships no types
        while True:
            if self.is_closed:
                return
            messages = received(self._subscription, self, _BATCH)
            if messages:
                await context.write(self._response(messages))
                continue
            await self.wake.wait()
            self.wake.clear()

    def _response(self, messages: list[Proto]) -> Proto:
        settings = self._subscription.proto
        return StreamingPullResponse(
            received_messages=messages,
            subscription_properties=StreamingPullResponse.SubscriptionProperties(
                exactly_once_delivery_enabled=settings.enable_exactly_once_delivery,
                message_ordering_enabled=settings.enable_message_ordering,
            ),
        )

    def _apply(self, request: Proto) -> None:
        """What a client says after the first request: acknowledgements and deadlines."""
        if request.subscription:
            raise invalid("Only the first request of a stream names the subscription.")
        if len(request.modify_deadline_ack_ids) != len(request.modify_deadline_seconds):
            raise invalid("modify_deadline_ack_ids and modify_deadline_seconds are of two lengths.")
        self._set_deadline(request.stream_ack_deadline_seconds)
        for ack_id in request.ack_ids:
            self._subscription.acknowledge(ack_id)
        changes = zip(request.modify_deadline_ack_ids, request.modify_deadline_seconds, strict=True)
        for ack_id, seconds in changes:
            check_deadline(seconds)
            self._subscription.extend(ack_id, seconds)

    def _set_deadline(self, seconds: int, *, required: bool = False) -> None:
        if not seconds and not required:
            return
        check_deadline(seconds)
        if seconds < self._least_deadline_s:
            raise invalid(f"stream_ack_deadline_seconds is {self._least_deadline_s} or more.")
        self.deadline_s = seconds
