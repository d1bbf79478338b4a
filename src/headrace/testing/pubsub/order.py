"""How a subscription is to be set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from headrace.testing.pubsub.wire import Proto, Subscription


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionOrder:
    """Settings of a subscription; what is left out is as Google sets it.

    Attributes:
        ack_deadline: Until a message that is not acknowledged comes again; whole seconds, to 600.
        filter: Which messages it keeps, e.g. `attributes.kind = "job"`.
        is_ordered: Whether messages of one ordering key come in their order.
        is_exactly_once: Whether acknowledgements that are too late are refused.
        retry: The least and the most that a message waits before it comes again; None is no wait.
        dead_letter_topic: Where messages go that failed too often; None keeps them.
        max_delivery_attempts: How often that is, 5 to 100.
        push_endpoint: Where they are posted; None lets clients pull.
        push_account: The e-mail address in the token of a push; None sends no token.
        push_audience: Whom the token is for; None is the endpoint.
    """

    ack_deadline: timedelta | None = None
    filter: str = ""
    is_ordered: bool = False
    is_exactly_once: bool = False
    retry: tuple[timedelta, timedelta] | None = None
    dead_letter_topic: str | None = None
    max_delivery_attempts: int = 5
    push_endpoint: str | None = None
    push_account: str | None = None
    push_audience: str | None = None

    def proto(self, full_name: Callable[[str], str]) -> Proto:
        """As Pub/Sub's protocol says it, without the names of the subscription and its topic."""
        proto = Subscription(
            filter=self.filter,
            enable_message_ordering=self.is_ordered,
            enable_exactly_once_delivery=self.is_exactly_once,
        )
        if self.ack_deadline is not None:
            proto.ack_deadline_seconds = int(self.ack_deadline.total_seconds())
        if self.retry is not None:
            proto.retry_policy.minimum_backoff.FromTimedelta(self.retry[0])
            proto.retry_policy.maximum_backoff.FromTimedelta(self.retry[1])
        if self.dead_letter_topic is not None:
            proto.dead_letter_policy.dead_letter_topic = full_name(self.dead_letter_topic)
            proto.dead_letter_policy.max_delivery_attempts = self.max_delivery_attempts
        if self.push_endpoint is not None:
            proto.push_config.push_endpoint = self.push_endpoint
        if self.push_account is not None:
            proto.push_config.oidc_token.service_account_email = self.push_account
            proto.push_config.oidc_token.audience = self.push_audience or ""
        return proto
