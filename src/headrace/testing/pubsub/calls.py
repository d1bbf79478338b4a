"""The gRPC service: each call by its name, with the faults that can meet it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

import grpc

from headrace.testing.pubsub import wire
from headrace.testing.pubsub.exchange import Exchange
from headrace.testing.pubsub.faults import Call, Fail, Slow
from headrace.testing.pubsub.injection import Faults
from headrace.testing.pubsub.publishing import Publishing
from headrace.testing.pubsub.refusal import RefusedError
from headrace.testing.pubsub.stream import Stream
from headrace.testing.pubsub.subscribing import Subscribing
from headrace.testing.pubsub.wire import Proto

Answer: TypeAlias = Callable[[Proto], Awaitable[Proto]]
Unary: TypeAlias = Mapping[Call, tuple[Any, Answer]]
"""By call: the class of its request, and who answers it."""

_NAMING_FIELDS: Final = ("subscription", "topic", "name", "project")


class Calls:
    """Answers what comes by gRPC.

    Attributes:
        counts: How often each call was made.
    """

    def __init__(self, exchange: Exchange, subscribing: Subscribing) -> None:
        """For what `exchange` holds."""
        self.counts: Counter[Call] = Counter()
        self._exchange, self._subscribing = exchange, subscribing
        self._faults: Faults = exchange.faults
        self._publishing = Publishing(exchange)

    def handlers(self) -> list[Any]:
        """Both services, for a gRPC server."""
        publisher = {call.value: self._handler(call, *row) for call, row in self._publisher.items()}
        subscriber = {
            call.value: self._handler(call, *row) for call, row in self._subscriber.items()
        }
        subscriber[Call.STREAMING_PULL.value] = grpc.stream_stream_rpc_method_handler(
            self.streaming_pull, wire.StreamingPullRequest.FromString, _serialize
        )
        return [
            grpc.method_handlers_generic_handler("google.pubsub.v1.Publisher", publisher),
            grpc.method_handlers_generic_handler("google.pubsub.v1.Subscriber", subscriber),
        ]

    @property
    def _publisher(self) -> Unary:
        publishing = self._publishing
        return {
            Call.CREATE_TOPIC: (wire.Topic, publishing.create_topic),
            Call.GET_TOPIC: (wire.GetTopicRequest, publishing.get_topic),
            Call.UPDATE_TOPIC: (wire.UpdateTopicRequest, publishing.update_topic),
            Call.DELETE_TOPIC: (wire.DeleteTopicRequest, publishing.delete_topic),
            Call.LIST_TOPICS: (wire.ListTopicsRequest, publishing.list_topics),
            Call.LIST_TOPIC_SUBSCRIPTIONS: (
                wire.ListTopicSubscriptionsRequest,
                publishing.list_topic_subscriptions,
            ),
            Call.PUBLISH: (wire.PublishRequest, publishing.publish),
        }

    @property
    def _subscriber(self) -> Unary:
        subscribing = self._subscribing
        return {
            Call.CREATE_SUBSCRIPTION: (wire.Subscription, subscribing.create_subscription),
            Call.GET_SUBSCRIPTION: (wire.GetSubscriptionRequest, subscribing.get_subscription),
            Call.UPDATE_SUBSCRIPTION: (
                wire.UpdateSubscriptionRequest,
                subscribing.update_subscription,
            ),
            Call.DELETE_SUBSCRIPTION: (
                wire.DeleteSubscriptionRequest,
                subscribing.delete_subscription,
            ),
            Call.LIST_SUBSCRIPTIONS: (
                wire.ListSubscriptionsRequest,
                subscribing.list_subscriptions,
            ),
            Call.PULL: (wire.PullRequest, subscribing.pull),
            Call.ACKNOWLEDGE: (wire.AcknowledgeRequest, subscribing.acknowledge),
            Call.MODIFY_ACK_DEADLINE: (
                wire.ModifyAckDeadlineRequest,
                subscribing.modify_ack_deadline,
            ),
            Call.MODIFY_PUSH_CONFIG: (wire.ModifyPushConfigRequest, subscribing.modify_push_config),
        }

    def _handler(self, call: Call, request_class: Any, answer: Answer) -> Any:  # noqa: ANN401 - gRPC ships no types
        async def handle(request: Proto, context: Any) -> Proto:  # noqa: ANN401 - gRPC ships no types
            try:
                return await self.answer(call, answer, request)
            except RefusedError as error:
                await error.abort(context)

        return grpc.unary_unary_rpc_method_handler(handle, request_class.FromString, _serialize)

    async def answer(self, call: Call, answer: Answer, request: Proto) -> Proto:
        """The answer to one call, with the faults that it meets.

        Raises:
            RefusedError: It is an error.
        """
        self.counts[call] += 1
        name = _name_in(request)
        fault = await self._meet_faults(call, name)
        if fault is not None and not fault.applied:
            raise _refusal(fault)
        response = await answer(request)
        if fault is not None:
            raise _refusal(fault)
        return response

    async def _meet_faults(self, call: Call, name: str) -> Fail | None:
        slow = self._faults.draw(Slow, name, lambda fault: fault.call is call)
        if slow is not None:
            await asyncio.sleep(slow.by.total_seconds())
        return self._faults.draw(Fail, name, lambda fault: fault.call is call)

    async def streaming_pull(self, _requests: object, context: Any) -> None:  # noqa: ANN401 - gRPC ships no types
        """Keep a stream open."""
        self.counts[Call.STREAMING_PULL] += 1
        first = await context.read()
        if first is grpc.aio.EOF:
            return
        try:
            fault = await self._meet_faults(Call.STREAMING_PULL, first.subscription)
            if fault is not None:
                raise _refusal(fault)
            subscription = self._subscribing.pullable(first.subscription)
            await Stream(subscription, first, self._exchange.least_ack_deadline_s).run(context)
        except RefusedError as error:
            await error.abort(context)


def _serialize(message: Proto) -> bytes:
    encoded: bytes = message.SerializeToString()
    return encoded


def _name_in(request: Proto) -> str:
    """The full name of what a request is about."""
    for field in _NAMING_FIELDS:
        value = getattr(request, field, None)
        if isinstance(value, str):
            return value
        if value is not None:
            return str(value.name)
    return ""


def _refusal(fault: Fail) -> RefusedError:
    return RefusedError(fault.code, f"{fault.call} fails on purpose ({fault.code}).")
