"""Sends what waits in the outbox: all the time in a worker, or once for whoever asks."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Final

from headrace.errors import DatabaseUnavailableError
from headrace.store.outbox import measure_outbox
from headrace.store.pool import connect
from headrace.store.retention import take_duty
from headrace.store.session import ENGINE_SETTINGS, Session
from headrace.telemetry.events import emit
from headrace.telemetry.outbox_events import OutboxCaughtUp, OutboxDelayed
from headrace.worker.courier import BATCH, Courier
from headrace.worker.service import Service

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.store.outbox import Sender
    from headrace.worker.parts import Parts
    from headrace.worker.timing import Timing

DUTY: Final = "outbox"
LOOK: Final = timedelta(seconds=60)
"""Between two looks for what is late."""
LATE_S: Final = 300.0
PER_ENDPOINT: Final = 4
"""Events on their way to one endpoint of webhooks, where nothing else is said."""


class Relay(Service):
    """Sends what is due each `timing.relay`, and at once while there is more.

    It holds the connection for single statements, and never while something is sent.
    """

    def __init__(
        self,
        session: Session,
        worker: int,
        timing: Timing,
        senders: Mapping[str, Sender],
        *,
        per_endpoint: int = PER_ENDPOINT,
    ) -> None:
        """Nothing is sent before `start`.

        Args:
            session: The connection to use; others may use it in between.
            worker: The worker that does this.
            timing: Its durations.
            senders: What sends, by channel.
            per_endpoint: Most events on their way to one endpoint of webhooks, 1 to 100.
        """
        super().__init__("relay", worker_id=str(worker), timing=timing)
        self.courier = Courier(session, senders, per_endpoint=per_endpoint)
        self._session, self._worker, self._timing = session, worker, timing
        self._look_at_s = 0.0
        self._late: set[str] = set()

    async def run(self) -> None:
        """Take, send, mark."""
        pace_s = self._timing.relay.total_seconds()
        due_s = 0.0
        while True:
            await self.courier.settle()
            if monotonic() >= due_s:
                more = await self.courier.take()
                due_s = 0.0 if more else monotonic() + pace_s
            await self._look()
            self.worked()
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, due_s - monotonic())):
                    await self.courier.landed.wait()
                    due_s = 0.0  # its place is free

    async def stop(self) -> None:
        """End, mark what landed, and give back what is still under way."""
        await super().stop()
        with suppress(DatabaseUnavailableError, TimeoutError):
            async with asyncio.timeout(self._timing.release.total_seconds()):
                await self.courier.close(within_s=self._timing.release.total_seconds() / 2)

    async def _look(self) -> None:
        """Tell when what leaves becomes late, and when it is not any more; one worker does."""
        if monotonic() < self._look_at_s:
            return
        self._look_at_s = monotonic() + LOOK.total_seconds()
        async with self._session.use() as connection:
            if not await take_duty(connection, DUTY, worker=self._worker, lease=LOOK):
                return
            waiting = await measure_outbox(connection)
        for channel, age_s in (("topic", waiting.topics_s), ("webhook", waiting.webhooks_s)):
            if age_s > LATE_S:
                self._late.add(channel)
                emit(OutboxDelayed(channel=channel, oldest_age_s=round(age_s, 3)))
            elif channel in self._late:
                self._late.remove(channel)
                emit(OutboxCaughtUp(channel=channel))


@dataclass(frozen=True, slots=True)
class Relayed:
    """What one round of sending did.

    Attributes:
        complete: Whether nothing that was due is left.
    """

    sent: int
    retried: int
    given_up: int
    complete: bool


async def relay_once(
    session: Session,
    senders: Mapping[str, Sender],
    *,
    limit: int,
    seconds: float,
    per_endpoint: int = PER_ENDPOINT,
) -> Relayed:
    """Send what is due now, where no worker does it: before a container is frozen, for a scheduler.

    Args:
        session: The connection to use.
        senders: What sends, by channel.
        limit: Events of a channel after which it takes no more.
        seconds: After which it cuts off what is under way; that is sent again later.
        per_endpoint: Most events on their way to one endpoint of webhooks.

    Raises:
        DatabaseUnavailableError: No server answered.
    """
    courier = Courier(session, senders, per_endpoint=per_endpoint)
    complete = False
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                complete = await _send_all(courier, limit)
    finally:
        await courier.close(within_s=0.0)
    return Relayed(courier.sent, courier.retried, courier.given_up, complete)


async def relay_for(parts: Parts, *, limit: int, within_s: float) -> Relayed:
    """As `relay_once`, with what a worker is made of and a connection of its own."""
    session = Session(
        lambda: connect(parts.direct_dsn, name="headrace relay", settings=ENGINE_SETTINGS)
    )
    try:
        return await relay_once(
            session,
            parts.senders,
            limit=limit,
            seconds=within_s,
            per_endpoint=parts.per_endpoint,
        )
    finally:
        session.close()


async def _send_all(courier: Courier, limit: int) -> bool:
    """Send until nothing is due, or so many were taken; whether nothing is."""
    began: int | None = None
    while courier.taken < limit:
        if courier.is_at_start:
            # What is under way keeps its endpoint's share: a look past it proves nothing.
            began = courier.taken if not courier.under_way else None
        more = await courier.take(min(limit - courier.taken, BATCH))
        if courier.under_way and not more:
            await courier.landed.wait()
        await courier.settle()
        if courier.is_at_start and courier.taken == began:
            return True  # from the first endpoint to the last nothing was due
    while courier.under_way:
        await courier.landed.wait()
        await courier.settle()
    return False
