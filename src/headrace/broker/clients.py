"""Google's clients, opened on the emulator or on the real service. Opening one may block.

Only what talks to Pub/Sub imports this module: it takes over half a second.
"""

from __future__ import annotations

import json
import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import grpc
from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError
from google.cloud import pubsub_v1
from google.oauth2 import service_account
from google.pubsub_v1 import PublisherClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from headrace.errors import BrokerUnavailableError

if TYPE_CHECKING:
    from google.cloud.pubsub_v1 import SubscriberClient

    from headrace.broker.access import Access

Transport = TypeVar("Transport", PublisherGrpcTransport, SubscriberGrpcTransport)

RECONNECT_MS: Final = 2_000
"""The library's own two minutes between two tries would outlast most outages."""
PATIENT: Final = {
    "methodConfig": [
        {
            "name": [{"service": "google.pubsub.v1.Subscriber", "method": "StreamingPull"}],
            "waitForReady": True,
        }
    ]
}
"""A stream waits for the connection: Google's client tries five times in ten seconds at most, and
spends these on a server that is down, so that it came back 10 to 30 s after it."""
OPTIONS: Final = (
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", RECONNECT_MS),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.service_config", json.dumps(PATIENT)),
)
CHATTY: Final = ("ack-nack", "callback-delivery", "subscriber-flow-control", "subscriber-streams")
"""Loggers of the library that write two lines at DEBUG for each message."""
SCOPES: Final = ("https://www.googleapis.com/auth/pubsub",)
REASONS: Final = {
    exceptions.NotFound: "there is no",
    exceptions.PermissionDenied: "permission denied for",
    exceptions.Unauthenticated: "no valid credentials for",
}


def open_publisher(access: Access) -> PublisherClient:
    """A client for publishing and for looking after topics.

    Raises:
        BrokerUnavailableError: There are no credentials.
    """
    return PublisherClient(transport=_transport(access, PublisherGrpcTransport))


def open_subscriber(access: Access) -> SubscriberClient:
    """A client for listening and for looking after subscriptions.

    Raises:
        BrokerUnavailableError: There are no credentials.
    """
    for name in CHATTY:
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:  # else somebody wants to hear it
            logger.setLevel(logging.INFO)
    return pubsub_v1.SubscriberClient(transport=_transport(access, SubscriberGrpcTransport))


def _transport(access: Access, kind: type[Transport]) -> Transport:
    if access.emulator is not None:
        return kind(channel=grpc.insecure_channel(access.emulator, options=OPTIONS))
    credentials = None
    try:
        if access.credentials_file is not None:
            credentials = service_account.Credentials.from_service_account_file(  # type: ignore[no-untyped-call]
                str(access.credentials_file), scopes=SCOPES
            )
        return kind(credentials=credentials, channel=partial(_channel, kind))
    except (GoogleAuthError, OSError, ValueError) as error:
        raise BrokerUnavailableError(f"no credentials for Pub/Sub: {error}") from error


def _channel(kind: type[Any], *arguments: object, options: object, **more: object) -> grpc.Channel:
    del options  # ours say more
    return kind.create_channel(*arguments, options=list(OPTIONS), **more)


def unavailable(error: BaseException, what: str) -> BrokerUnavailableError:
    """What a failed call means, in words that may be shown: never those of the server.

    Args:
        error: That the client raised.
        what: The topic or subscription that it was about.
    """
    for kind, words in REASONS.items():
        if isinstance(error, kind):
            return BrokerUnavailableError(f"{words} {what}")
    code = getattr(getattr(error, "grpc_status_code", None), "name", type(error).__name__)
    return BrokerUnavailableError(f"Pub/Sub does not answer for {what} ({code})")
