"""Sends results and dead letters from the outbox to their topics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from headrace.broker.publisher import Message
from headrace.errors import BrokerUnavailableError, MessageRefusedError
from headrace.store.outbox import Delivery

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.broker.publisher import Publisher
    from headrace.store.outbox import Outgoing


class TopicSender:
    """Publishes events in the order in which they come; the order of each job is that of its key.

    Args:
        publisher: Of this process.
    """

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    async def send(self, events: Sequence[Outgoing]) -> list[Delivery]:
        """As `Sender.send`: in one request, so all are published, or perhaps none."""
        topic = events[0].endpoint
        messages = [_message(event) for event in events]
        try:
            ids = await self._publisher.publish(topic, messages)
        except BrokerUnavailableError as error:
            return [Delivery.retry(str(error))] * len(events)
        except MessageRefusedError as error:
            if len(events) == 1:
                return [Delivery.gone(str(error))]
            return await self._send_each(events)
        return [Delivery.sent(message_id) for message_id in ids]

    async def _send_each(self, events: Sequence[Outgoing]) -> list[Delivery]:
        """One after the other: one of them is not taken, and the others shall not wait for it.

        After one that may be taken later, those with its key wait as well: order is kept.
        """
        outcomes: list[Delivery] = []
        held: set[str | None] = set()
        for event in events:
            if event.ordering_key in held:
                outcomes.append(Delivery.retry("an earlier event of the job is not sent yet"))
                continue
            [outcome] = await self.send([event])
            outcomes.append(outcome)
            if outcome.outcome == "retry":
                held.add(event.ordering_key)
        return outcomes

    async def close(self) -> None:
        """Nothing is held: the publisher is the process's."""


def _message(event: Outgoing) -> Message:
    attributes = orjson.loads(event.attributes) if event.attributes else {}
    return Message(event.payload.encode(), attributes, event.ordering_key or "")
