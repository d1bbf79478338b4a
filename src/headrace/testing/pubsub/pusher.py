"""Delivers the messages of one subscription by HTTP."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final

from headrace.testing.pubsub.consumer import Consumer
from headrace.testing.pubsub.envelope import metadata_headers, wrapped
from headrace.testing.pubsub.http_post import NoAnswerError, post

if TYPE_CHECKING:
    from headrace.testing.pubsub.held import Held
    from headrace.testing.pubsub.subscription import Subscription
    from headrace.testing.pubsub.tokens import Tokens

ACKNOWLEDGING: Final = frozenset({102, 200, 201, 202, 204})
"""The statuses that Pub/Sub takes as an acknowledgement."""
MOST_AT_ONCE: Final = 100
NO_ANSWER: Final = 0
_BACKOFF_S: Final = (0.1, 60.0)
_GRACE_S: Final = 5.0  # the limit of the request decides, not the lease


class Pusher(Consumer):
    """Posts what waits, up to a hundred at a time; slower after failures.

    A message is acknowledged by the status of the answer, which has to come within the ack
    deadline. Where the subscription has no retry policy, all pushing rests after a failure, from
    0.1 s doubling up to 60 s.
    """

    def __init__(self, subscription: Subscription, tokens: Tokens, statuses: Counter[int]) -> None:
        """One that counts in `statuses` what it was answered."""
        super().__init__(most_messages=MOST_AT_ONCE)
        self._subscription, self._tokens, self._statuses = subscription, tokens, statuses
        self._failures = 0
        self._rest_until = 0.0

    async def run(self) -> None:
        """Push until it is closed."""
        self._subscription.consumers.append(self)
        try:
            async with asyncio.TaskGroup() as group:
                while not self.is_closed:
                    wait_s = self._rest_until - asyncio.get_running_loop().time()
                    if wait_s > 0:
                        await asyncio.sleep(wait_s)
                        continue
                    self.deadline_s = self._subscription.proto.ack_deadline_seconds + _GRACE_S
                    taken = self._subscription.take(self, MOST_AT_ONCE)
                    for held in taken:
                        group.create_task(self._push(held, held.ack_ids[-1]))
                    if not taken:
                        await self.wake.wait()
                        self.wake.clear()
        finally:
            self._subscription.consumers.remove(self)

    def _note_failure(self) -> None:
        self._failures += 1
        if not self._subscription.proto.HasField("retry_policy"):
            least, most = _BACKOFF_S
            wait_s = min(least * 2 ** min(self._failures - 1, 20), most)
            self._rest_until = asyncio.get_running_loop().time() + wait_s

    async def _push(self, held: Held, ack_id: str) -> None:
        status = await self._post(held)
        self._statuses[status] += 1
        if status in ACKNOWLEDGING:
            self._failures, self._rest_until = 0, 0.0
            self._subscription.acknowledge(ack_id)
        else:
            self._note_failure()
            self._subscription.extend(ack_id, 0)

    async def _post(self, held: Held) -> int:
        config = self._subscription.proto.push_config
        try:
            async with asyncio.timeout(self._subscription.proto.ack_deadline_seconds):
                return await post(config.push_endpoint, *self._request(held))
        except (NoAnswerError, TimeoutError):
            return NO_ANSWER

    def _request(self, held: Held) -> tuple[dict[str, str], bytes]:
        config = self._subscription.proto.push_config
        headers = {"Content-Type": "application/json", "User-Agent": "APIs-Google"}
        account = config.oidc_token.service_account_email
        if account:
            audience = config.oidc_token.audience or config.push_endpoint
            token = self._tokens.sign(self._tokens.claims(audience, account))
            headers["Authorization"] = f"Bearer {token}"
        if not config.HasField("no_wrapper"):
            return headers, wrapped(self._subscription, held)
        if config.no_wrapper.write_metadata:
            headers |= metadata_headers(self._subscription, held)
        return headers, held.message.data
