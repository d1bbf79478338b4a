"""What a process knows of itself: its pulse, its database, its metrics, and the queues of all."""

from __future__ import annotations

import asyncio
import platform
from collections import deque
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias

from headrace.store.signals import Signals, read_signals
from headrace.telemetry.metrics import Metrics
from headrace.web.service.probe import Probe
from headrace.web.service.pulse import Pulse

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.app import Headrace
    from headrace.worker.worker import Load


class Worked(Protocol):
    """What is told of a worker."""

    def obstacles(self) -> tuple[str, ...]:
        """As `Worker.obstacles`."""

    def load(self) -> Load | None:
        """As `Worker.load`."""


Mode: TypeAlias = Literal["api", "worker", "dev"]
FRESH_S: Final = 10.0
"""The state of the service is read again when it is older and somebody asks."""
STALE_S: Final = 60.0
"""An older one is not shown any more."""
WAIT_S: Final = 0.05
"""So long an answer waits for a newer one: metrics are told within 0.1 s, whatever happens."""
READ_LIMIT_S: Final = 8.0
DRAIN_SPAN_S: Final = 120.0
"""The speed at which a queue empties is that of the last two minutes at most."""
DRAIN_LEAST_S: Final = 2.0


class Monitor:
    """Watches one process; made by `create_api` and by the worker's port.

    Args:
        app: What it serves or works for.
        mode: What the process does.
        worker: The worker in it, if there is one.
        listener: Whether events of the database arrive; None where nobody listens.
        on_demand: Whether it asks the database only when somebody asks it.
    """

    def __init__(
        self,
        app: Headrace,
        *,
        mode: Mode,
        worker: Worked | None = None,
        listener: Callable[[], bool] | None = None,
        on_demand: bool = False,
    ) -> None:
        self.app, self.mode, self.worker, self.listener = app, mode, worker, listener
        self.streams: Callable[[], int] | None = None
        self.metrics = Metrics(
            known={
                "pipeline": app.pipelines,
                "queue": {pipeline.queue for pipeline in app.pipelines.values()},
            }
        )
        self.pulse = Pulse()
        self.probe = Probe(app, every_s=None) if on_demand else Probe(app)
        self.host = platform.node()
        self.started_at = datetime.now(UTC)
        self._began = monotonic()
        self._deaf: Callable[[], None] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._signals: tuple[float, Signals] | None = None
        self._depths: deque[tuple[float, dict[str, int]]] = deque()

    def start(self) -> None:
        """Begin to count, to tick and to ask the database."""
        self._deaf = self.metrics.listen()
        self.pulse.start()
        self.probe.start()

    async def stop(self) -> None:
        """End all of it."""
        if self._deaf is not None:
            self._deaf()
        self.pulse.stop()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})
        await self.probe.stop()

    def attend(self, worker: Worked) -> None:
        """Watch this worker too, which runs beside the API."""
        self.worker, self.mode = worker, "dev"

    @property
    def uptime_s(self) -> float:
        """Seconds since it was made."""
        return monotonic() - self._began

    # --- readiness --------------------------------------------------------------------------------

    @property
    def components(self) -> tuple[str, ...]:
        """What has to be usable."""
        more = {"listener": self.listener, "executor": self.worker}
        present = (name for name, part in more.items() if part is not None)
        return ("database", "migrations", *present)

    def obstacles(self) -> dict[str, str]:
        """Why this process cannot do its work now, by what is concerned; empty if it can."""
        finding = self.probe.finding
        found = {"database": finding.database, "migrations": finding.migrations}
        if finding.database is not None:
            del found["migrations"]  # nobody knows
        if self.listener is not None and not self.listener():
            found["listener"] = "no events arrive"
        if self.worker is not None:
            found["executor"] = "; ".join(self.worker.obstacles()) or None
        return {name: reason for name, reason in found.items() if reason is not None}

    # --- the state of the service -----------------------------------------------------------------

    async def signals(self, *, wait_s: float = WAIT_S) -> Signals | None:
        """The state of the service, 10 s old at most where the database answers in time.

        Returns:
            None where there is none of the last minute.
        """
        if self._age_s() > FRESH_S and (self._reading is None or self._reading.done()):
            self._reading = asyncio.create_task(self._read(), name="headrace signals")
        if self._reading is not None and not self._reading.done():
            await asyncio.wait({self._reading}, timeout=wait_s)
        return self._signals[1] if self._signals and self._age_s() <= STALE_S else None

    @property
    def seen(self) -> tuple[Signals, float] | None:
        """The state of the service as it was read last, and its age in seconds; asks nobody."""
        return None if self._signals is None else (self._signals[1], self._age_s())

    def drain_s(self) -> dict[str, float | None]:
        """In how many seconds each queue will be empty at its present speed; None: it does not."""
        if len(self._depths) < 2:  # noqa: PLR2004 - a speed takes two looks
            return {}
        (first_at, first), (last_at, last) = self._depths[0], self._depths[-1]
        span = last_at - first_at
        return {name: _drain_s(first.get(name, 0), depth, span) for name, depth in last.items()}

    def _age_s(self) -> float:
        return float("inf") if self._signals is None else monotonic() - self._signals[0]

    async def _read(self) -> None:
        try:
            async with asyncio.timeout(READ_LIMIT_S), self.app.connection() as connection:
                signals = await read_signals(connection)
        except Exception:  # noqa: BLE001 - the probe tells of it; here nothing is shown
            return
        now = monotonic()
        self._signals = (now, signals)
        due = {name: signals.depth[name, "due"] for name in signals.queues}
        while self._depths and now - self._depths[0][0] > DRAIN_SPAN_S:
            self._depths.popleft()
        self._depths.append((now, due))


def _drain_s(before: int, now: int, span_s: float) -> float | None:
    if not now:
        return 0.0
    if now >= before or span_s < DRAIN_LEAST_S:
        return None
    return round(now * span_s / (before - now), 1)
