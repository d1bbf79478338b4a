"""A Pub/Sub server for tests, over real gRPC, with faults on request."""

from headrace.testing.pubsub.counts import DeliveryCounts
from headrace.testing.pubsub.faults import (
    Call,
    CloseStreams,
    Delay,
    Drop,
    Duplicate,
    Fail,
    LoseAcks,
    PubSubFault,
    Reorder,
    Silence,
    Slow,
)
from headrace.testing.pubsub.injection import Injection
from headrace.testing.pubsub.order import SubscriptionOrder
from headrace.testing.pubsub.published import PublishedMessage
from headrace.testing.pubsub.refusal import Code, RefusedError
from headrace.testing.pubsub.server import PubSubServer

__all__ = [
    "Call",
    "CloseStreams",
    "Code",
    "Delay",
    "DeliveryCounts",
    "Drop",
    "Duplicate",
    "Fail",
    "Injection",
    "LoseAcks",
    "PubSubFault",
    "PubSubServer",
    "PublishedMessage",
    "RefusedError",
    "Reorder",
    "Silence",
    "Slow",
    "SubscriptionOrder",
]
