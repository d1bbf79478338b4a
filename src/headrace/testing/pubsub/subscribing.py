"""The calls of Pub/Sub's `Subscriber` service, but for the stream."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from headrace.testing.pubsub import names
from headrace.testing.pubsub.consumer import Consumer
from headrace.testing.pubsub.exchange import Exchange
from headrace.testing.pubsub.pages import page_of
from headrace.testing.pubsub.pushing import Pushing
from headrace.testing.pubsub.refusal import Code, RefusedError, invalid
from headrace.testing.pubsub.settings import (
    MOST_ACK_DEADLINE_S,
    SUBSCRIPTION_FIELDS,
    changed,
    check_push,
    complete,
)
from headrace.testing.pubsub.subscription import Subscription
from headrace.testing.pubsub.wire import (
    Empty,
    ListSubscriptionsResponse,
    Proto,
    PullResponse,
    ReceivedMessage,
)

PULL_WAIT_S: Final = 0.5
"""How long a pull waits for a first message."""


class Subscribing:
    """Each method answers one call, or raises RefusedError."""

    def __init__(self, exchange: Exchange, pushing: Pushing) -> None:
        """For the subscriptions of `exchange`."""
        self._exchange, self._pushing = exchange, pushing

    async def create_subscription(self, request: Proto) -> Proto:
        """Make a subscription."""
        names.check(request.name, "subscriptions")
        if request.name in self._exchange.subscriptions:
            resource = names.short(request.name)
            text = f"Resource already exists in the project (resource={resource})."
            raise RefusedError(Code.ALREADY_EXISTS, text)
        self._exchange.topic(request.topic)
        complete(request, self._exchange.least_ack_deadline_s)
        self._pushing.follow(self._exchange.subscribe(request))
        return request

    async def get_subscription(self, request: Proto) -> Proto:
        """How a subscription is set."""
        return self._exchange.subscription(request.subscription).proto

    async def update_subscription(self, request: Proto) -> Proto:
        """Set some fields of a subscription."""
        subscription = self._exchange.subscription(request.subscription.name)
        new = changed(subscription.proto, request, request.subscription, SUBSCRIPTION_FIELDS)
        complete(new, self._exchange.least_ack_deadline_s)
        subscription.change(new)
        self._pushing.follow(subscription)
        return new

    async def delete_subscription(self, request: Proto) -> Proto:
        """Delete a subscription and what waits in it."""
        self._exchange.unsubscribe(self._exchange.subscription(request.subscription))
        return Empty()

    async def list_subscriptions(self, request: Proto) -> Proto:
        """The subscriptions of a project, by name."""
        every = self._exchange.subscriptions
        page, token = page_of(
            [name for name in every if name.startswith(f"{request.project}/")], request
        )
        protos = [every[name].proto for name in page]
        return ListSubscriptionsResponse(subscriptions=protos, next_page_token=token)

    async def modify_push_config(self, request: Proto) -> Proto:
        """Turn a subscription to push, to pull, or elsewhere."""
        check_push(request.push_config)
        subscription = self._exchange.subscription(request.subscription)
        new = type(subscription.proto)()
        new.CopyFrom(subscription.proto)
        new.push_config.CopyFrom(request.push_config)
        subscription.change(new)
        self._pushing.follow(subscription)
        return Empty()

    async def acknowledge(self, request: Proto) -> Proto:
        """End messages."""
        subscription = self._exchange.subscription(request.subscription)
        return _settle(request.ack_ids, subscription.acknowledge)

    async def modify_ack_deadline(self, request: Proto) -> Proto:
        """Move ack deadlines, or give messages back."""
        subscription = self._exchange.subscription(request.subscription)
        seconds = request.ack_deadline_seconds
        check_deadline(seconds)
        return _settle(request.ack_ids, lambda ack_id: subscription.extend(ack_id, seconds))

    async def pull(self, request: Proto) -> Proto:
        """Messages, as soon as there is one; none when there is none for half a second."""
        subscription = self.pullable(request.subscription)
        if request.max_messages < 1:
            raise invalid(f"Invalid max_messages ({request.max_messages}): 1 or more.")
        consumer = Consumer(most_messages=request.max_messages)
        wait_s = 0 if request.return_immediately else PULL_WAIT_S
        subscription.consumers.append(consumer)
        try:
            async with asyncio.timeout(wait_s or None):
                while not (taken := received(subscription, consumer, request.max_messages)):
                    if not wait_s:
                        break
                    await consumer.wake.wait()
                    consumer.wake.clear()
                    if consumer.error is not None:
                        raise consumer.error
        except TimeoutError:
            taken = []
        finally:
            subscription.consumers.remove(consumer)
        return PullResponse(received_messages=taken)

    def pullable(self, name: str) -> Subscription:
        """The subscription of a full name.

        Raises:
            RefusedError: There is none, or its messages are pushed.
        """
        subscription = self._exchange.subscription(name)
        if subscription.proto.push_config.push_endpoint:
            text = "This method is not supported for this subscription type."
            raise RefusedError(Code.FAILED_PRECONDITION, text)
        return subscription


def check_deadline(seconds: int) -> None:
    """Let a new ack deadline pass.

    Raises:
        RefusedError: It is outside its bounds.
    """
    if not 0 <= seconds <= MOST_ACK_DEADLINE_S:
        raise invalid(f"Invalid ack deadline given (deadline={seconds}): 0 to 600 seconds.")


def received(subscription: Subscription, consumer: Consumer, most: int) -> list[Proto]:
    """What `consumer` takes now, as it is sent."""
    return [
        ReceivedMessage(
            ack_id=held.ack_ids[-1],
            message=held.message,
            delivery_attempt=subscription.attempt_of(held),
        )
        for held in subscription.take(consumer, most)
    ]


def _settle(ack_ids: Sequence[str], settle: Callable[[str], str | None]) -> Proto:
    if not ack_ids:
        raise invalid("No ack ids specified.")
    reasons = {ack_id: reason for ack_id in ack_ids if (reason := settle(ack_id))}
    if reasons:
        text = "Some acknowledgement ids in the request were invalid."
        raise RefusedError(Code.INVALID_ARGUMENT, text, reasons)
    return Empty()
