"""Which subscriptions are pushed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from typing import TypeAlias

from headrace.testing.pubsub.pusher import Pusher
from headrace.testing.pubsub.subscription import Subscription
from headrace.testing.pubsub.tokens import Tokens

Spawn: TypeAlias = Callable[[Coroutine[None, None, None]], asyncio.Task[None]]


class Pushing:
    """Keeps a pusher for each subscription that has an endpoint.

    Attributes:
        statuses: By full name of a subscription, how its pushes were answered; 0 is no answer.
    """

    def __init__(self, tokens: Tokens, spawn: Spawn) -> None:
        """One without pushers, which run in tasks of `spawn`."""
        self.statuses: dict[str, Counter[int]] = {}
        self._tokens, self._spawn = tokens, spawn
        self._pushers: dict[Subscription, asyncio.Task[None]] = {}

    def follow(self, subscription: Subscription) -> None:
        """Begin or end pushing, as the subscription is set now."""
        is_push = bool(subscription.proto.push_config.push_endpoint)
        if not is_push and subscription in self._pushers:
            self._pushers.pop(subscription).cancel()
        if is_push and subscription not in self._pushers:
            statuses = self.statuses.setdefault(subscription.name, Counter())
            pusher = Pusher(subscription, self._tokens, statuses)
            self._pushers[subscription] = self._spawn(self._run(subscription, pusher))

    def resume(self, subscriptions: Iterable[Subscription]) -> None:
        """Push what is to be pushed."""
        for subscription in subscriptions:
            self.follow(subscription)

    def stop(self) -> None:
        """Break off every push; what was under way is unanswered, and comes again."""
        for task in self._pushers.values():
            task.cancel()
        self._pushers.clear()

    async def _run(self, subscription: Subscription, pusher: Pusher) -> None:
        await pusher.run()
        self._pushers.pop(subscription, None)
