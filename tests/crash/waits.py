"""`python -m tests.crash.waits`: thousands of jobs wait on one worker with ten slots.

It works off jobs that wait for nothing beside 10,000 that wait for a signal, which must not slow
the others down: in turns with another worker, on a database of its own, beside which nothing waits.
Then all signals are sent, and all end. Then 1,000 parents wait for 1,000 children. Prints what was
seen, and `waits ok` or what is wrong. Ends with 0 or 1.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from headrace import JobHandle, Pipeline
from headrace.testing import Engine
from headrace.worker.timing import Timing
from tests.crash.server import CrashServer
from tests.crash.waiting import ALL, asking, parent, plain
from tests.waiting import eventually

WORKER: Final = "tests.crash.waiting:ALL"
SLOTS: Final = 10
QUEUES: Final = ("asking", "plain")
LEAST_RATIO: Final = 0.9
"""Of the speed beside jobs that wait to that without them."""
ROUNDS: Final = 11
WITHIN_S: Final = 600.0
SENDERS: Final = 10
OPEN: Final = """\
select count(*) from headrace.jobs as job join headrace.lanes as lane on lane.id = job.lane
where lane.pipeline = $1 and job.state in ('queued', 'running')"""
WAITING: Final = """\
select count(*) from headrace.jobs as job join headrace.lanes as lane on lane.id = job.lane
where lane.pipeline = $1 and job.state = 'queued' and job.wait_reason = $2"""
FAILED: Final = "select count(*) from headrace.jobs where state not in ('completed', 'queued')"
DRAINED: Final = """\
select extract(epoch from max(finished_at) - min(claimed_at))::float8
from headrace.jobs where id = any($1::uuid[])"""
LEFT: Final = "select count(*) from headrace.children"


@dataclass(frozen=True, slots=True)
class Seen:
    """What the run saw."""

    alone: list[float]
    """Jobs a second of each round where nothing waits."""
    beside: list[float]
    waiting: int
    answered_s: float
    parents: int
    family_s: float
    wrong_ends: int
    left: int

    @property
    def ratio(self) -> float:
        """The middle one of all pairs of rounds."""
        return median(b / a for a, b in zip(self.alone, self.beside, strict=True))

    def lines(self) -> list[str]:
        """For people."""
        return [
            f"others alone: {median(self.alone):,.0f} jobs/s ({_rates(self.alone)})",
            f"others beside {self.waiting:,} that wait: {median(self.beside):,.0f} jobs/s",
            f"its rounds: {_rates(self.beside)}; ratio {self.ratio:.3f}",
            f"{self.waiting:,} signals were sent, and their jobs ended, in {self.answered_s:.1f} s",
            f"{self.parents:,} parents of {self.parents:,} children ended in {self.family_s:.1f} s",
        ]

    def wrong(self) -> list[str]:
        """What must not be."""
        found = []
        if self.ratio < LEAST_RATIO:
            found.append(f"jobs that wait slow others down: {self.ratio:.3f} < {LEAST_RATIO}")
        if self.wrong_ends:
            found.append(f"{self.wrong_ends} jobs did not complete")
        if self.left:
            found.append(f"{self.left} children are still bound")
        return found


def _rates(rates: Iterable[float]) -> str:
    return ", ".join(f"{rate:,.0f}" for rate in rates)


async def waits(waiting: int, others: int, parents: int) -> Seen:
    """Run all of it on a server of its own."""
    async with (
        CrashServer() as server,
        Engine(ALL, server=server.address, timing=Timing()) as quiet,
        Engine(ALL, server=server.address, timing=Timing()) as engine,
        quiet.spawn(WORKER, concurrency=SLOTS, queues=QUEUES),
        engine.spawn(WORKER, concurrency=SLOTS, queues=QUEUES),
    ):
        jobs = await engine.submit_many(asking, list(range(waiting)))
        await _until(engine, WAITING, asking, "external", many=waiting)
        alone, beside = [], []
        for place in range(ROUNDS + 1):
            alone.append(await _drain(quiet, others))
            beside.append(await _drain(engine, others))
            if not place:  # the first round is slower
                alone.clear()
                beside.clear()
        answered_s = await _answer(engine, jobs)
        began = time.monotonic()
        await engine.submit_many(parent, list(range(parents)))
        await _until(engine, OPEN, parent, many=0)
        family_s = time.monotonic() - began
        async with engine.connection() as connection:
            wrong_ends = await connection.fetchval(FAILED)
            left = await connection.fetchval(LEFT)
    return Seen(alone, beside, waiting, answered_s, parents, family_s, wrong_ends, left)


async def _drain(engine: Engine, others: int) -> float:
    """Jobs a second of a backlog that waits for nothing."""
    await engine.app.pause_queue("plain")
    jobs = await engine.submit_many(plain, list(range(others)))
    await engine.app.resume_queue("plain")
    await _until(engine, OPEN, plain, many=0)
    async with engine.connection() as connection:
        seconds = await connection.fetchval(DRAINED, [job.id for job in jobs])
    return others / float(seconds)


async def _answer(engine: Engine, jobs: Sequence[JobHandle[int]]) -> float:
    began, left = time.monotonic(), list(jobs)

    async def send() -> None:
        while left:
            if not await left.pop().send("answer", 1):
                raise RuntimeError("nobody else sends")

    await asyncio.gather(*(send() for _ in range(SENDERS)))
    await _until(engine, OPEN, asking, many=0)
    return time.monotonic() - began


async def _until(
    engine: Engine, query: str, pipeline: Pipeline[Any, Any], *more: str, many: int
) -> None:
    """Wait until so many jobs of a pipeline are as the query says."""
    async with engine.connection() as connection:

        async def is_so() -> bool:
            found: int = await connection.fetchval(query, pipeline.name, *more)
            if found != many:
                await asyncio.sleep(0.2)
            return found == many

        await eventually(is_so, within=WITHIN_S)


def main() -> int:
    """Run once."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.waits", description=__doc__)
    parser.add_argument("--waiting", type=int, default=10_000, help="jobs that wait for a signal")
    parser.add_argument("--others", type=int, default=5_000, help="jobs of a round")
    parser.add_argument("--parents", type=int, default=1_000, help="jobs that wait for a child")
    given = parser.parse_args()
    seen = asyncio.run(waits(given.waiting, given.others, given.parents))
    wrong = seen.wrong()
    for line in [*seen.lines(), *wrong]:
        print(line)  # noqa: T201 - a command's output
    print("waits FAILED" if wrong else "waits ok")  # noqa: T201
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
