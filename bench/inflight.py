"""Works about one worker with many jobs in flight: its death, its memory, its long life."""

import asyncio
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import Final

from bench.aftermath import aftermath
from bench.errors import BenchError
from bench.events import Event, in_flight, mark, starts
from bench.lab import Lab
from bench.runs import Run
from bench.sizes import (
    IN_FLIGHT,
    IN_FLIGHT_SLEEP_S,
    KILL_AFTER_S,
    RECOVERY_JOBS,
    SOAK_FROM,
    SOAK_JOBS,
    SUBMIT_BATCH,
)
from bench.subjects import Subject

Values = Mapping[str, float]

SIGNALS: Final = {"kill": signal.SIGKILL, "frozen": signal.SIGSTOP}
RECOVERY_LIMIT_S: Final = 180.0
SOAK_LIMIT_S: Final = 1_800.0


async def recovery(lab: Lab, subject: Subject, way: str) -> Values:
    """Seconds from a worker's death or freeze until all its jobs run in a new one."""
    async with lab.run(subject) as run:
        await run.command("submit", "sleep", 0, RECOVERY_JOBS, SUBMIT_BATCH)
        worker = await run.start_worker("sleep", trace=1)
        lost = frozenset(event.pid for event in await run.until(_all_started))
        await asyncio.sleep(KILL_AFTER_S)
        os.killpg(worker, SIGNALS[way])
        begin = monotonic()
        await run.start_worker("sleep", trace=1)
        again = await run.until(lambda events: _restarted(events, lost), RECOVERY_LIMIT_S)
    return {way: max(again.values()) - begin}


def _all_started(events: list[Event]) -> list[Event] | None:
    return events if len(starts(events)) == RECOVERY_JOBS else None


def _restarted(events: list[Event], lost: frozenset[int]) -> dict[int, float] | None:
    again = starts(events, besides=lost)
    return again if len(again) == RECOVERY_JOBS else None


async def memory(lab: Lab, subject: Subject) -> Values:
    """Resident memory, in MiB, of a worker's processes with 1,000 jobs in flight."""
    async with lab.run(subject) as run:
        await run.command("submit", "sleep", 0, IN_FLIGHT, SUBMIT_BATCH)
        worker = await run.start_worker("sleep", IN_FLIGHT, trace=1, sleep_s=IN_FLIGHT_SLEEP_S)
        await run.until(lambda events: events if in_flight(events) == IN_FLIGHT else None)
        return {"memory": resident_mib(worker)}


async def soak(lab: Lab, subject: Subject) -> Values:
    """What a million jobs leave behind.

    `growth` is the worker's memory after them over that after the first 100,000; `bloat` the size
    of the worst table after a plain VACUUM over that after VACUUM FULL; `leftovers` the rows of
    queues, claims and progress.
    """
    async with lab.run(subject) as run:
        await run.command("submit", "noop", 0, SOAK_JOBS, SUBMIT_BATCH)
        await run.settle()
        worker = await run.start_worker("noop", target=SOAK_JOBS)
        before = await _resident_at(run, worker, SOAK_FROM)
        growth = await _resident_at(run, worker, SOAK_JOBS) / before
        await run.done(SOAK_JOBS, SOAK_LIMIT_S)
        await run.end()
        return {"growth": growth, **await aftermath(run.connection)}


async def _resident_at(run: Run, worker: int, count: int) -> float:
    await run.until(lambda events: mark(events, count), SOAK_LIMIT_S)
    return resident_mib(worker)


def resident_mib(group: int) -> float:
    """Resident memory of all processes of a process group, in MiB.

    Raises:
        BenchError: This system has no /proc, or the group no process.
    """
    pages = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(folder.name)) == group:
                pages += int((folder / "statm").read_text().split()[1])
        except (ProcessLookupError, FileNotFoundError):
            continue  # it ended meanwhile
    if not pages:
        raise BenchError("no process to measure")
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
