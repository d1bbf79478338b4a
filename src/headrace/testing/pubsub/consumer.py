"""Who takes messages from a subscription: a stream, a pull, a pusher."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace.testing.pubsub.refusal import RefusedError


class Consumer:
    """One taker, with its limits and what it has now.

    Attributes:
        messages: How many it has not settled.
        bytes: How many bytes these have.
        deadline_s: Its own ack deadline; None is the subscription's.
        wake: Set when there may be something to take, or it is to end.
        is_closed: Whether it is to end.
        error: What it tells its client then; None is no error.
    """

    def __init__(self, *, most_messages: int = 0, most_bytes: int = 0) -> None:
        """A taker of at most so much at a time; 0 is no limit."""
        self.most_messages, self.most_bytes = most_messages, most_bytes
        self.messages = self.bytes = 0
        self.deadline_s: float | None = None
        self.wake = asyncio.Event()
        self.is_closed = False
        self.error: RefusedError | None = None

    def close(self, error: RefusedError | None = None) -> None:
        """Let it end."""
        self.is_closed, self.error = True, error
        self.wake.set()

    @property
    def room(self) -> int:
        """How many messages more it takes."""
        if self.most_bytes > 0 and self.bytes >= self.most_bytes:
            return 0
        if self.most_messages <= 0:
            return 1_000
        return max(0, self.most_messages - self.messages)
