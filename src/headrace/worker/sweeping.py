"""One sweep for a service where nobody works just now: as a scheduler asks for it."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from headrace.errors import BrokerUnavailableError
from headrace.store.pool import connect
from headrace.store.session import ENGINE_SETTINGS, Session
from headrace.store.workers import next_worker
from headrace.telemetry.events import Level, add_sink
from headrace.telemetry.job_events import JobFailed, JobRecovered
from headrace.telemetry.schedule_events import ScheduleFired
from headrace.telemetry.worker_events import SweepCompleted, WorkerLost
from headrace.worker.intake import Salvage
from headrace.worker.janitor import Janitor
from headrace.worker.reaper import Reaper
from headrace.worker.scheduler import Scheduler
from headrace.worker.upkeep import upkeep

if TYPE_CHECKING:
    from uuid import UUID

    from headrace.store.pool import HeldConnection
    from headrace.telemetry.events import Event
    from headrace.worker.parts import Parts

LOOK_S: Final = 0.2
TOLD: Final = (SweepCompleted, WorkerLost, JobRecovered, JobFailed, ScheduleFired)


@dataclass(slots=True)
class Swept:
    """What a sweep did.

    Attributes:
        swept: Whether it was its turn: False where another worker had just done it.
        complete: Whether the time was enough.
    """

    swept: bool = False
    promoted: int = 0
    expired: int = 0
    removed: int = 0
    workers_lost: int = 0
    recovered: int = 0
    failed: int = 0
    scheduled: int = 0
    complete: bool = False

    def count(self, event: Event) -> None:
        """Add what an event of the sweep tells."""
        if isinstance(event, SweepCompleted):
            self.swept = True
            self.promoted += event.promoted
            self.expired += event.expired
            self.removed += event.removed
        elif isinstance(event, WorkerLost):
            self.workers_lost += 1
        elif isinstance(event, JobRecovered):
            self.recovered += 1
        elif isinstance(event, JobFailed):
            self.failed += 1
        elif isinstance(event, ScheduleFired):
            self.scheduled += 1


async def sweep(parts: Parts, *, within_s: float) -> Swept:
    """Promote what is due, expire, delete, submit for schedules, recover jobs of the dead, once.

    It takes a heartbeat, so that everybody who lives can say so before silence counts as death.

    Args:
        parts: Of a worker; none of its jobs run.
        within_s: Seconds after which it ends, complete or not.

    Raises:
        DatabaseUnavailableError: No server answered.
    """
    async with parts.pool.acquire() as connection:
        number = await next_worker(connection)
    session = Session(lambda: _connect(parts, number))
    done = Swept()
    remove = add_sink(lambda event: _note(done, event, str(number)), level=Level.DEBUG, kinds=TOLD)
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await _sweep(parts, number, session)
                done.complete = True
    finally:
        remove()
        session.close()
    return done


async def submit_scheduled(parts: Parts) -> list[UUID]:
    """Submit what schedules are due, and nothing else, once.

    Args:
        parts: Of a worker; none of its jobs run.

    Returns:
        The jobs, in the order of their submission.

    Raises:
        DatabaseUnavailableError: No server answered.
    """
    async with parts.pool.acquire() as connection:
        number = await next_worker(connection)
    session = Session(lambda: _connect(parts, number))
    jobs: list[UUID] = []

    def note(event: Event) -> None:
        if isinstance(event, ScheduleFired) and event.worker_id == str(number):
            jobs.append(event.job_id)

    remove = add_sink(note, kinds=(ScheduleFired,))
    try:
        await Scheduler(session, number, parts).tick_whole()
    finally:
        remove()
        session.close()
    return jobs


async def _sweep(parts: Parts, number: int, session: Session) -> None:
    for service in upkeep(parts, number, session):
        if isinstance(service, Janitor):
            await service.tick()
        elif isinstance(service, Scheduler):
            await service.tick_whole()
        elif isinstance(service, Reaper):
            await service.tick()
            while not service.is_judging:
                await asyncio.sleep(LOOK_S)
                await service.tick()
        elif isinstance(service, Salvage):
            with contextlib.suppress(BrokerUnavailableError):  # jobs do not depend on it
                await service.tick()


async def _connect(parts: Parts, number: int) -> HeldConnection:
    return await connect(
        parts.direct_dsn, name=f"headrace worker {number}: sweep", settings=ENGINE_SETTINGS
    )


def _note(done: Swept, event: Event, worker_id: str) -> None:
    if getattr(event, "worker_id", None) == worker_id:
        done.count(event)
