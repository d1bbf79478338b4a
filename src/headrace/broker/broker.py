"""What every doorbell does: a ring makes workers look now; losing one costs only latency."""

from __future__ import annotations

from typing import Protocol


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

    def ring(self, queue: str) -> None:
        """Wake the workers of `queue` soon."""

    async def close(self) -> None:
        """Send the rings that are due, and end."""
