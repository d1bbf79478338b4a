"""What every doorbell does: a ring makes workers look now; losing one costs only latency."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager
    from typing import TypeAlias

    from headrace.model.incoming import Incoming


class Broker(Protocol):
    """Rings for a queue whose jobs are due.

    Whoever stores jobs asks `carry` before, and calls `settle` when the jobs are committed:

        carried = broker.carry(queue)
        ... store the jobs, with the notification in the same transaction if `carried` ...
        broker.settle(queue, carried=carried)

    None of these methods waits or raises.
    """

    def carry(self, queue: str) -> bool:
        """Whether the caller's own transaction is to hold the ring."""

    def settle(self, queue: str, *, carried: bool) -> None:
        """The jobs are committed: a ring that they still need is on its way after this."""

    def ring(self, queue: str, jobs: int = 1) -> None:
        """Wake workers of `queue` soon, as many as so many jobs need."""

    def echo(self, queue: str, jobs: int = 1) -> None:
        """As `ring`, after a transaction that notified of itself: where that is not enough."""

    async def close(self) -> None:
        """Send the rings that are due, and end."""


Answer: TypeAlias = "Callable[[str], Awaitable[None]]"
"""Answers one ring for a queue (an empty one: for any); the ring is over when it returns."""

Take: TypeAlias = "Callable[[Incoming], Awaitable[bool]]"
"""Takes one message that is no ring, counts how it ended, and tells whether it is settled: one that
is not comes again."""


class Hearing(Protocol):
    """Rings as they come in, while this is open.

    Attributes:
        heard_at: When the last one came, or this was opened, as `time.monotonic` tells it.
    """

    heard_at: float

    async def ended(self) -> None:
        """Return when no more can come because the server closed.

        Raises:
            BrokerUnavailableError: None can come before something is put right.
        """


class Doorbell(Protocol):
    """The other end: hears the rings that LISTEN does not tell of.

    Attributes:
        name: As the setting has it.
    """

    name: str

    def open(
        self, answer: Answer, *, slots: int, take: Take | None = None
    ) -> AbstractAsyncContextManager[Hearing]:
        """Listen inside an `async with` block.

        Args:
            answer: Called for each ring, on the running loop. A ring is acknowledged when it
                returns or raises: whatever it could not do, polling does.
            slots: Most messages that are under way at once.
            take: Called for each message that is no ring; without it they are given back.
        """
