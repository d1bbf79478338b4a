"""Messages of Pub/Sub as those take them who know no broker, and messages pulled one by one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

from google.api_core import exceptions

from headrace.broker.clients import open_subscriber, unavailable
from headrace.model.incoming import Incoming

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    from google.cloud.pubsub_v1 import SubscriberClient

    from headrace.broker.access import Access
    from headrace.broker.broker import Take

WAIT_S: Final = 3.0
"""For a message to come, where none is there."""
CALL_S: Final = 10.0


class Content(Protocol):
    """What a message of the library has, and one of its protocol, too."""

    @property
    def message_id(self) -> str:
        """The broker's."""

    @property
    def data(self) -> bytes:
        """As it was published."""

    @property
    def attributes(self) -> Mapping[str, str]:
        """As they were published."""

    @property
    def publish_time(self) -> datetime:
        """By the broker's clock."""


def incoming_of(message: Content) -> Incoming:
    """A message as those take it who know no broker."""
    return Incoming(
        message_id=message.message_id,
        data=message.data,
        attributes=dict(message.attributes),
        published_at=message.publish_time,
    )


class Puller:
    """Messages of one subscription, taken when somebody has the time.

    Args:
        access: Whose Pub/Sub.
        subscription: The subscription's own name.
        repair: Makes the subscription, where that is the program's own task: called when it is
            missing.
    """

    def __init__(
        self, access: Access, subscription: str, *, repair: Callable[[], Awaitable[bool]]
    ) -> None:
        self._access, self._subscription, self._repair = access, subscription, repair

    async def drain(self, take: Take, *, most: int) -> int:
        """Take what is there, for at most so many messages, until one is not settled.

        Returns:
            How many were settled.

        Raises:
            BrokerUnavailableError: Pub/Sub does not answer, does not permit it, or there is no
                such subscription.
        """
        subscriber = await asyncio.to_thread(open_subscriber, self._access)
        settled = 0
        try:
            while settled < most:
                pulled = await self._call(_pull, subscriber, min(PAGE, most - settled))
                done = [one.ack_id for one in pulled if await take(incoming_of(one.message))]
                if done:
                    await self._call(_acknowledge, subscriber, done)
                settled += len(done)
                if not pulled or len(done) < len(pulled):
                    break  # what is left comes back when its deadline is over
        except exceptions.NotFound as error:
            if not await self._repair():
                raise unavailable(error, f"subscription {self._subscription}") from error
        except exceptions.GoogleAPIError as error:
            raise unavailable(error, f"subscription {self._subscription}") from error
        finally:
            await asyncio.to_thread(subscriber.close)
        return settled

    async def _call(self, call: Callable[..., Any], client: SubscriberClient, what: object) -> Any:  # noqa: ANN401
        place = self._access.subscription(self._subscription)
        return await asyncio.to_thread(call, client, place, what)


PAGE: Final = 10
"""Messages in hand at once: all are to be done with before their deadline."""


def _pull(subscriber: SubscriberClient, place: str, most: int) -> Sequence[Any]:
    try:
        answer = subscriber.pull(subscription=place, max_messages=most, retry=None, timeout=WAIT_S)
    except exceptions.DeadlineExceeded:
        return ()
    return list(answer.received_messages)


def _acknowledge(subscriber: SubscriberClient, place: str, ack_ids: list[str]) -> None:
    subscriber.acknowledge(subscription=place, ack_ids=ack_ids, retry=None, timeout=CALL_S)
