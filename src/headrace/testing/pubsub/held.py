"""A message in a subscription, from its arrival until it is done."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from headrace.testing.pubsub.wire import Proto

if TYPE_CHECKING:
    from headrace.testing.pubsub.consumer import Consumer

REMEMBERED_IDS: Final = 20  # by which a message can be acknowledged; each delivery brings one


@dataclass(slots=True, eq=False)
class Held:
    """A message, or a copy of one, that a subscription holds.

    Attributes:
        number: Its place among all that arrived.
        message: What was published, shared by all subscriptions.
        size: Its bytes.
        failures: How often it was given back or its deadline passed.
        ack_ids: One for each delivery, the newest last.
        holder: Who has it now; None while it waits.
        is_done: Whether it was acknowledged, or forwarded.
    """

    number: int
    message: Proto
    size: int
    failures: int = 0
    ack_ids: list[str] = field(default_factory=list)
    holder: Consumer | None = None
    is_done: bool = False
    _deadline: asyncio.TimerHandle | None = None

    def lease(self, holder: Consumer, ack_id: str) -> None:
        """Give it to `holder`, who acknowledges it by this id."""
        self.ack_ids.append(ack_id)
        self.holder = holder
        holder.messages += 1
        holder.bytes += self.size

    def expire_by(self, deadline: asyncio.TimerHandle) -> None:
        """Replace the alarm that takes it back."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = deadline

    def release(self) -> None:
        """Take it from its holder."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if self.holder is not None:
            self.holder.messages -= 1
            self.holder.bytes -= self.size
            self.holder.wake.set()
            self.holder = None
