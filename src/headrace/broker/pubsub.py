"""The doorbell of Pub/Sub: one small message for a few due jobs, coalesced.

A message goes to one worker of a subscription, not to all of them as a notification of PostgreSQL
does: so many jobs are rung for more than once. Rings are sent one request at a time; jobs that are
stored meanwhile share the one that follows.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import orjson

from headrace.errors import HeadraceError
from headrace.store.failures import Backoff
from headrace.telemetry.events import emit
from headrace.telemetry.messaging_events import RingsLost, RingsResumed

if TYPE_CHECKING:
    from headrace.broker.publisher import Publisher

from headrace.broker.publisher import Message

CLOSE_S: Final = 5.0
WITHIN_S: Final = 5.0
"""A ring that could not be sent for so long is worth nothing: workers have polled by then."""
JOBS_PER_RING: Final = 10
"""Where workers pull, each ring makes one of them claim as many as it has slots."""
MOST_PER_S: Final = 100
VERSION: Final = "1"
FIRST_REST_S: Final = 0.5
LONGEST_REST_S: Final = 30.0


class PubSubBroker:
    """Rings by publishing to the topic of jobs.

    Args:
        publisher: Of this process.
        topic: The topic's own name.
        jobs_per_ring: Due jobs for which one ring is enough.
    """

    def __init__(
        self, publisher: Publisher, topic: str, *, jobs_per_ring: int = JOBS_PER_RING
    ) -> None:
        self._publisher, self._topic, self._jobs_per_ring = publisher, topic, jobs_per_ring
        self._due: dict[str, int] = {}
        self._ringer: asyncio.Task[None] | None = None
        self._backoff = Backoff(FIRST_REST_S, LONGEST_REST_S)
        self.problem: str | None = None
        """Why rings are lost; None while they are published."""

    def carry(self, queue: str) -> bool:  # noqa: ARG002 - the protocol's
        """As `Broker.carry`: no transaction can hold a message."""
        return False

    def settle(self, queue: str, *, carried: bool) -> None:  # noqa: ARG002
        """As `Broker.settle`."""
        self.ring(queue)

    def ring(self, queue: str, jobs: int = 1) -> None:
        """As `Broker.ring`: after those in flight."""
        self._due[queue] = self._due.get(queue, 0) + jobs
        if self._ringer is None or self._ringer.done():
            self._ringer = asyncio.create_task(self._ring_all(), name="headrace ringer")

    def echo(self, queue: str, jobs: int = 1) -> None:
        """As `Broker.echo`: nobody listens to notifications here."""
        self.ring(queue, jobs)

    async def close(self) -> None:
        """As `Broker.close`; what is not sent after 5 s is given up: idle workers poll."""
        ringer = self._ringer
        if ringer is not None:
            await asyncio.wait([ringer], timeout=CLOSE_S)
            ringer.cancel()
            await asyncio.gather(ringer, return_exceptions=True)

    async def _ring_all(self) -> None:
        while self._due:
            due, self._due = self._due, {}
            messages = [
                message for queue, jobs in due.items() for message in self._messages(queue, jobs)
            ][:MOST_PER_S]
            try:
                await self._publisher.publish(self._topic, messages, within_s=WITHIN_S)
            except HeadraceError as error:
                # Rings are hints, and lost without harm; but what comes next must not hammer.
                await asyncio.sleep(self._failed(error))
            else:
                self._worked()
                await asyncio.sleep(len(messages) / MOST_PER_S)

    def _messages(self, queue: str, jobs: int) -> list[Message]:
        rings = min(MOST_PER_S, -(-jobs // self._jobs_per_ring))
        return [doorbell(queue)] * rings

    def _failed(self, error: HeadraceError) -> float:
        problem = str(error)
        if problem != self.problem:
            emit(RingsLost(topic=self._topic, error=problem))
        self.problem = problem
        return self._backoff.next_s()

    def _worked(self) -> None:
        self._backoff.reset()
        if self.problem is not None:
            self.problem = None
            emit(RingsResumed(topic=self._topic))


def doorbell(queue: str) -> Message:
    """A ring for a queue: it says where to look, and nothing of any job."""
    sent_at = datetime.now(UTC).isoformat()
    return Message(
        orjson.dumps({"queue": queue, "sent_at": sent_at}),
        {"kind": "doorbell", "queue": queue, "v": VERSION},
    )
