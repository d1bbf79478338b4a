"""How long the work stands still: one fault at a time, measured from the audit history."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import asyncpg

from tests.crash.fleet import Fleet, Slot, until
from tests.crash.load import Load
from tests.crash.server import CrashServer

WAIT_S: Final = 90.0
WORK_S: Final = 20.0

HOLDER: Final = """
    select worker.pid from headrace.jobs as job
    join headrace.workers as worker on worker.id = job.worker
    where job.id = $1 and job.state = 'running'
"""
NEXT_CLAIM: Final = """
    select extract(epoch from event.at)::float8
    from headrace.job_events as event
    where event.job = $1 and event.to_state = 'running' and event.at > to_timestamp($2)
    order by event.seq limit 1
"""
LAST_STEP: Final = """
    select extract(epoch from max(finished_at))::float8
    from headrace.steps where job = $1 and finished_at <= to_timestamp($2)
"""
HELD: Final = """
    select lock.key
    from headrace.jobs as job
    left join headrace.locks as lock
        on lock.job = job.id and lock.released_at is null and lock.expires_at > headrace.now()
    where job.id = $1 and job.state = 'running'
"""
FIRST_COMMIT: Final = """
    select extract(epoch from min(at))::float8 from headrace.job_events
    where at > to_timestamp($1) and worker is not null
"""


@dataclass(slots=True)
class Times:
    """Seconds from each fault to the work going on, by what happened."""

    limits: dict[str, float]
    measured: dict[str, list[float]] = field(default_factory=dict)

    def add(self, what: str, seconds: float) -> None:
        """Note one."""
        self.measured.setdefault(what, []).append(seconds)

    def lines(self) -> Iterator[str]:
        """One line for each fault."""
        for what, times in self.measured.items():
            shown = ", ".join(f"{seconds:.1f}" for seconds in times)
            yield f"{what}: {shown} s (limit {self.limits[what]:g} s)"

    def late(self) -> list[str]:
        """Those that took longer than they may."""
        return [
            f"{what} took {seconds:.1f} s, at most {self.limits[what]:g} s"
            for what, times in self.measured.items()
            for seconds in times
            if seconds > self.limits[what]
        ]


def usual_times(scale: float = 1.0) -> Times:
    """The promises, with a second for a busy machine where they are scaled down."""
    extra = 1.0 if scale < 1 else 0.0
    return Times(
        {
            "kill -9 of a worker": 8 * scale + extra,
            "lock of a killed worker": 8 * scale + extra,
            "frozen worker": 37 * scale + extra,
            "SIGTERM, after the step": 2 * scale + extra,
            "restarted database": 5.0,
        }
    )


class Stopwatch:
    """Measures recoveries on a fleet that nobody else disturbs."""

    def __init__(self, server: CrashServer, fleet: Fleet, load: Load, scale: float) -> None:
        self._server, self._fleet, self._load, self._scale = server, fleet, load, scale
        self.times = usual_times(scale)

    async def measure(self, *, kills: int = 3) -> Times:
        """Each fault by itself."""
        connection = await self._server.connect()
        try:
            for _ in range(kills):
                await self._kill(connection)
                await self._kill_holder(connection)
            await self._freeze(connection)
            await self._terminate(connection)
        finally:
            connection.terminate()
        await self._restart()
        return self.times

    async def _kill(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        job, slot = await self._running_job(connection)
        slot.kill(supervisor=False)
        with self._since("kill -9 of a worker") as started:
            await self._moved(connection, job, started)

    async def _kill_holder(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        """Somebody waits for the lock of a worker that is killed."""
        key = None
        while key is None:
            job, slot = await self._running_job(connection, pipeline="locked")
            while row := await connection.fetchrow(HELD, job):  # until it has ended
                key = row["key"]
                if key is not None:
                    break
                await asyncio.sleep(0.01)
        slot.kill(supervisor=False)
        with self._since("lock of a killed worker"):
            async with self._load.app.lock(key, wait=WAIT_S):
                pass

    async def _freeze(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        job, slot = await self._running_job(connection)
        frozen = asyncio.create_task(slot.freeze(45 * self._scale))
        with self._since("frozen worker") as started:
            await self._moved(connection, job, started)
        await frozen

    async def _terminate(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        """A worker that is told to end gives its job back when the running step is done."""
        job, slot = await self._running_job(connection, pipeline="slow")
        started = time.time()
        await slot.stop()
        moved = await self._moved(connection, job, started)
        step = await connection.fetchval(LAST_STEP, job, moved)
        self.times.add("SIGTERM, after the step", moved - (step or started))

    async def _restart(self) -> None:
        await self._server.stop(immediate=True)
        await self._server.start()
        with self._since("restarted database") as started:
            await self._load.submit_one(pipeline="single")
            async with asyncio.timeout(WAIT_S):
                await until(lambda: self._committed(started))

    async def _committed(self, since: float) -> bool:
        connection = await self._server.connect()
        try:
            return await connection.fetchval(FIRST_COMMIT, since) is not None
        finally:
            connection.terminate()

    @contextmanager
    def _since(self, what: str) -> Iterator[float]:
        started = time.time()
        yield started
        self.times.add(what, time.time() - started)

    async def _running_job(
        self, connection: asyncpg.Connection[asyncpg.Record], pipeline: str = "slow"
    ) -> tuple[UUID, Slot]:
        """A job that runs now, and who has it."""
        await self._fleet.wait_registered(len(self._fleet.slots))
        await self._load.submit_one(pipeline=pipeline)
        job = UUID(self._load.accepted[-1])
        async with asyncio.timeout(WAIT_S):
            while True:
                pid = await connection.fetchval(HOLDER, job)
                for slot in self._fleet.slots:
                    if pid is not None and slot.worker_pid == pid:
                        return job, slot
                await asyncio.sleep(0.02)

    async def _moved(
        self, connection: asyncpg.Connection[asyncpg.Record], job: UUID, since: float
    ) -> float:
        """When the job was claimed again."""
        async with asyncio.timeout(WAIT_S):
            while (at := await connection.fetchval(NEXT_CLAIM, job, since)) is None:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return float(at)
