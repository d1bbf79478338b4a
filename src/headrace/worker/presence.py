"""Shows that a worker lives, from a thread of its own, and tells it what its lease still allows.

The thread has its own loop and its own connections, so a step that blocks the main loop, or a
database pool that is used up, does not cost the lease. The main loop is told through callbacks.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from headrace.store.elapsed import clock_s
from headrace.store.pool import connect
from headrace.store.session import ENGINE_SETTINGS
from headrace.telemetry.events import emit
from headrace.telemetry.worker_events import LeaseAtRisk
from headrace.worker.heartbeat import Heartbeat, PresenceListener, Report
from headrace.worker.lease import LeaseClock, Standing
from headrace.worker.service import PeriodicService
from headrace.worker.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from types import CodeType
    from uuid import UUID

    from headrace.store.workers import WorkerIdentity
    from headrace.worker.timing import Timing

ACTIONS: Final = {Standing.NO_NEW: "start no new step", Standing.CANCEL: "cancel running steps"}


class Presence:
    """The life of one registered worker.

    When it ends, by `stop` or because the worker was lost, this object is over too: the worker
    returns with a new identity and a new presence.
    """

    def __init__(
        self,
        dsn: str,
        worker: WorkerIdentity,
        timing: Timing,
        *,
        listener: PresenceListener,
        running: Callable[[], int] = lambda: 0,
        lanes: Callable[[], Sequence[int]] = tuple,
        steps: Callable[[], Collection[tuple[UUID, str]]] = tuple,
        functions: Mapping[CodeType, str] | None = None,
    ) -> None:
        """Nothing runs before `start`.

        Args:
            dsn: Address of the database itself, not of a pooler before it.
            worker: What is registered.
            timing: Its durations.
            listener: Called on the loop that calls `start`.
            running: The number of jobs that run. This and the next two are called from the
                presence's thread: they only read.
            lanes: The lanes that are claimed from.
            steps: The jobs and steps that run, for the watchdog's last words.
            functions: The steps' functions, unwrapped, by their code.
        """
        self._dsn, self._worker, self._timing = dsn, worker, timing
        self._listener = listener
        self._report = Report(running, lanes)
        self._clock = LeaseClock(
            no_new_after=timing.fence_no_new, cancel_after=timing.fence_cancel, now_s=clock_s()
        )
        self._watchdog = Watchdog(str(worker.id), timing, steps=steps, functions=functions or {})
        self._registered: Future[None] = Future()
        self._ended: Future[None] = Future()
        self._stopping = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None  # the thread's own
        self._stop_asked: asyncio.Event | None = None
        self._heartbeat: Heartbeat | None = None
        self._thread: threading.Thread | None = None

    @property
    def standing(self) -> Standing:
        """What the worker may do now; read it before each step that starts."""
        return self._clock.standing(clock_s())

    @property
    def unrenewed_s(self) -> float:
        """Seconds since the lease was last renewed."""
        return self._clock.unrenewed_s(clock_s())

    @property
    def is_healthy(self) -> bool:
        """Whether the worker is registered, not lost, and renews its lease in time."""
        beat = self._heartbeat
        return (
            beat is not None
            and beat.is_registered
            and not beat.is_lost
            and not self._ended.done()
            and self.standing is Standing.HELD
        )

    @property
    def is_direct(self) -> bool:
        """Whether sessions are real ones: without that there is no lock and no LISTEN."""
        return self._heartbeat is None or self._heartbeat.lines.is_direct

    @property
    def has_lock(self) -> bool:
        """Whether the session that renews holds the worker's lock."""
        line = self._heartbeat.lines.first if self._heartbeat is not None else None
        return line is not None and line.has_lock

    async def start(self) -> None:
        """Start the thread; returns once the worker is registered.

        While the database is away this waits, however long: bound it with `asyncio.timeout`. When
        it fails or is cancelled, nothing runs any more.

        Raises:
            asyncpg.PostgresError: The database refuses for good: wrong password, no such table.
        """
        loop = asyncio.get_running_loop()
        self._watchdog.start(loop)
        self._thread = threading.Thread(
            target=self._run, args=(loop,), name="headrace-presence", daemon=True
        )
        self._thread.start()
        try:
            await asyncio.wrap_future(self._registered)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Sign the worker off and end the thread; jobs are to be handed back before."""
        self._watchdog.stop()
        self._stopping.set()
        if self._thread is None:
            return
        with suppress(RuntimeError):  # its loop is closed: it has ended already
            if self._loop is not None and self._stop_asked is not None:
                self._loop.call_soon_threadsafe(self._stop_asked.set)
        await asyncio.wait({asyncio.wrap_future(self._ended)})

    def _run(self, main_loop: asyncio.AbstractEventLoop) -> None:
        relay = _Relay(self._listener, main_loop)
        try:
            asyncio.run(self._live(relay))
        finally:
            if not self._stopping.is_set():
                relay.on_lost()  # nobody renews any more
            self._ended.set_result(None)

    async def _live(self, relay: _Relay) -> None:
        self._loop, self._stop_asked = asyncio.get_running_loop(), asyncio.Event()
        connect_one = partial(
            connect,
            self._dsn,
            name=f"headrace worker {self._worker.id}: presence",
            settings=ENGINE_SETTINGS,
        )
        beat = self._heartbeat = Heartbeat(
            self._worker,
            connect_one,
            self._clock,
            self._timing,
            report=self._report,
            listener=relay,
            on_registered=self._tell_registered,
        )
        watch = _Watch(beat, self._clock, self._watchdog, self._timing, listener=relay)
        services = (watch, beat.lines, beat)
        for service in services:
            service.start()
        if not self._stopping.is_set():
            await self._stop_asked.wait()
        for service in services:
            await service.stop()
        await beat.sign_off()

    def _tell_registered(self, error: Exception | None) -> None:
        with suppress(InvalidStateError):  # told already, or its waiter has gone
            if error is None:
                self._registered.set_result(None)
            else:
                self._registered.set_exception(error)


class _Relay(PresenceListener):
    """Passes what the presence's thread hears to the main loop."""

    def __init__(self, listener: PresenceListener, loop: asyncio.AbstractEventLoop) -> None:
        self._listener, self._loop = listener, loop

    def on_lost(self) -> None:
        self._call(self._listener.on_lost)

    def on_draining(self) -> None:
        self._call(self._listener.on_draining)

    def on_cancel(self, requests: list[tuple[UUID, int]]) -> None:
        self._call(partial(self._listener.on_cancel, requests))

    def on_unreachable(self, standing: Standing) -> None:
        self._call(partial(self._listener.on_unreachable, standing))

    def on_reachable(self) -> None:
        self._call(self._listener.on_reachable)

    def _call(self, call: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the main loop is closed: there is nobody to tell
            self._loop.call_soon_threadsafe(call)


class _Watch(PeriodicService):
    """Says when the lease allows less, or everything again, and lets the watchdog look."""

    def __init__(
        self,
        beat: Heartbeat,
        clock: LeaseClock,
        watchdog: Watchdog,
        timing: Timing,
        *,
        listener: PresenceListener,
    ) -> None:
        super().__init__(
            "lease watch",
            every=timing.heartbeat / 10,
            worker_id=beat.worker_id,
            timing=timing,
            jitter=0.0,
        )
        self.every_s = min(self.every_s, watchdog.period_s)
        self._beat, self._clock, self._watchdog = beat, clock, watchdog
        self._listener = listener
        self._told = Standing.HELD

    async def tick(self) -> None:
        self._watchdog.check()
        now = clock_s()
        standing = self._clock.standing(now)
        if standing is self._told or self._beat.is_lost or not self._beat.is_registered:
            return
        self._told = standing
        if standing is Standing.HELD:
            self._listener.on_reachable()
            return
        emit(
            LeaseAtRisk(
                worker_id=self.worker_id,
                unrenewed_s=round(self._clock.unrenewed_s(now), 3),
                action=ACTIONS[standing],
                running=self._beat.running,
            )
        )
        self._listener.on_unreachable(standing)
