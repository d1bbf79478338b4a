"""Registers a worker, renews its lease, and hears what the database has to tell it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import asyncpg

from headrace.store.elapsed import clock_s
from headrace.store.workers import (
    CANCEL_CHANNEL,
    cancel_requests,
    renew_worker,
    start_worker,
    stop_worker,
    take_presence,
)
from headrace.telemetry.events import emit
from headrace.telemetry.store_events import DatabaseBack, DatabaseLost
from headrace.telemetry.worker_events import LeaseLost
from headrace.worker.lease import Standing
from headrace.worker.lines import Line, Lines
from headrace.worker.service import PeriodicService, is_outage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from uuid import UUID

    from headrace.store.pool import HeldConnection
    from headrace.store.workers import WorkerIdentity
    from headrace.worker.lease import LeaseClock
    from headrace.worker.timing import Timing

JITTER: Final = 0.1
LOCK_RETRY: Final = 0.1
"""Part of a heartbeat after which a lock that a dying session still holds is asked for again."""
SIGN_OFF_S: Final = 1.0

DATABASE_ERRORS: Final = (
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)


class PresenceListener(Protocol):
    """Who is told what happens to the worker's lease."""

    def on_lost(self) -> None:
        """The worker was declared lost, once: its jobs are others' now, its identity is over."""

    def on_draining(self) -> None:
        """Somebody asked the worker, once, to take nothing new, finish and end."""

    def on_cancel(self, requests: list[tuple[UUID, int]]) -> None:
        """These jobs are to be cancelled: all of them, again at each heartbeat until they ended."""

    def on_unreachable(self, standing: Standing) -> None:
        """The lease could not be renewed for so long that the worker may do less; once a level."""

    def on_reachable(self) -> None:
        """The lease is renewed again, and the worker was not lost: everything may go on."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a heartbeat tells of its worker; asked from the thread of the presence."""

    running: Callable[[], int]
    lanes: Callable[[], Sequence[int]]


class Heartbeat(PeriodicService):
    """One renewal each `timing.heartbeat`, and at once when a line was lost or made."""

    def __init__(
        self,
        worker: WorkerIdentity,
        connect: Callable[[], Awaitable[HeldConnection]],
        clock: LeaseClock,
        timing: Timing,
        *,
        report: Report,
        listener: PresenceListener,
        on_registered: Callable[[Exception | None], None],
    ) -> None:
        """Nothing is sent before `start`.

        Args:
            worker: What is registered.
            connect: Opens a connection.
            clock: Told of each good renewal.
            timing: Its durations.
            report: What is said of the worker.
            listener: Told of what comes back, on the loop that this runs on.
            on_registered: Called when others can see the worker, or with why that cannot be.
        """
        super().__init__(
            "heartbeat",
            every=timing.heartbeat,
            worker_id=str(worker.id),
            timing=timing,
            jitter=JITTER,
        )
        self._worker, self._clock, self._timing = worker, clock, timing
        self._report_of, self._listener, self._on_registered = report, listener, on_registered
        # Both lines can be tried before the worker has to start no new step.
        self._limit_s = timing.fence_no_new.total_seconds() / 4
        self._outage_began_s: float | None = None
        self.lines = Lines(
            connect,
            on_change=self.wake,
            on_failure=self._hear_failure,
            worker_id=str(worker.id),
            timing=timing,
        )
        self.is_registered = False
        self.is_lost = False
        self.is_draining = False

    @property
    def running(self) -> int:
        """Jobs that run."""
        return self._report_of.running()

    async def tick(self) -> None:
        """Renew on the first line that answers."""
        while not self.is_lost and (line := self.lines.first) is not None:
            try:
                async with asyncio.timeout(self._limit_s):
                    await self._beat(line)
            except DATABASE_ERRORS as error:
                if not is_outage(error):
                    raise
                self.lines.retire(line, error)
            else:
                self.lines.drop_retired()
                self._end_outage()
                return

    def failed(self, error: Exception) -> None:
        """Let the start of the worker fail where trying again would not help."""
        self._hear_failure(error)

    async def sign_off(self) -> None:
        """Mark the worker stopped if the database answers, and close the lines."""
        await self.lines.stop()
        line = self.lines.first
        if self.is_registered and not self.is_lost and line is not None:
            try:
                async with asyncio.timeout(SIGN_OFF_S):
                    await stop_worker(line.connection, self._worker.id)
            except DATABASE_ERRORS:
                pass  # the freed lock, or else the end of the lease, says the same a little later
        await self.lines.close()

    async def _beat(self, line: Line) -> None:
        if not self.is_registered:
            await self._settle(line)
            await self._register(line)
            return
        await self._renew(line)
        if not self.is_lost and not line.has_lock:
            await self._settle(line)
            if line.has_lock:
                await self._renew(line)
        if not self.is_lost:
            await self._ask_cancels(line)

    async def _register(self, line: Line) -> None:
        began = clock_s()
        await start_worker(
            line.connection,
            self._worker,
            lease=self._timing.lease,
            presence=line.has_lock,
            lanes=self._report_of.lanes(),
        )
        self._clock.renewed(began)
        self.is_registered = True
        self._on_registered(None)

    async def _renew(self, line: Line) -> None:
        began = clock_s()
        draining = await renew_worker(
            line.connection,
            self._worker.id,
            lease=self._timing.lease,
            presence=line.has_lock,
            running=self.running,
            lanes=self._report_of.lanes(),
        )
        if draining is None:
            self._lose("another worker found this one dead and took its jobs")
            return
        self._clock.renewed(began)
        if draining and not self.is_draining:
            self.is_draining = True
            self._listener.on_draining()

    async def _settle(self, line: Line) -> None:
        """Make a line the one that stands for this process, where its session is a real one."""
        if not self.lines.is_direct:
            return
        if not line.listens:
            await line.connection.add_listener(CANCEL_CHANNEL, self._hear_cancel)
            line.listens = True
        line.has_lock = await take_presence(line.connection, self._worker.id)
        if not line.has_lock:  # a session of ours that the server has not missed yet
            asyncio.get_running_loop().call_later(self.every_s * LOCK_RETRY, self.wake)

    async def _ask_cancels(self, line: Line) -> None:
        requests = await cancel_requests(line.connection, self._worker.id)
        if requests:
            self._listener.on_cancel(requests)

    def _hear_cancel(
        self, _connection: object, _process: int, _channel: str, payload: object
    ) -> None:
        if str(payload).partition(" ")[0] == self.worker_id:
            self.wake()

    def _hear_failure(self, error: Exception) -> None:
        if not is_outage(error):
            if not self.is_registered:
                self._on_registered(error)
        elif self.lines.first is None and self._outage_began_s is None:
            self._outage_began_s = clock_s()
            emit(DatabaseLost(error=str(error), worker_id=self.worker_id))

    def _end_outage(self) -> None:
        began, self._outage_began_s = self._outage_began_s, None
        if began is not None:
            emit(DatabaseBack(outage_s=clock_s() - began, worker_id=self.worker_id))

    def _lose(self, reason: str) -> None:
        self.is_lost = True
        emit(LeaseLost(worker_id=self.worker_id, reason=reason, running=self.running))
        self._listener.on_lost()
