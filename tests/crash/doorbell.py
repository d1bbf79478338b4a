"""`python -m tests.crash.doorbell`: Pub/Sub does not ring at all, or 50,000 times.

Workers run as a user starts them, with the durations that they have then. Prints how long jobs
waited and what a worker held, and `doorbell ok` or what is wrong. Ends with 0 or 1.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from headrace import Headrace
from headrace.broker.topology import Names
from headrace.settings import load_settings
from headrace.testing import PubSubServer
from tests.crash.fleet import ALIVE, until
from tests.crash.processes import process
from tests.crash.served import double, doze
from tests.crash.server import CrashServer
from tests.ports import free_port

ADDED_S: Final = 30.0
"""So much later may a job start because nothing rings."""
RUNG_S: Final = 2.0
"""So soon it starts where something does; polling alone takes 5 s."""
SUBMIT_S: Final = 2.0
"""A submission never waits for Pub/Sub."""
BACK_S: Final = 45.0
"""Rings are sent and heard again so soon after Pub/Sub is back: pauses grow to 30 s meanwhile."""
START_S: Final = 60.0
DRAIN_S: Final = 600.0
LOOK_S: Final = 0.25
SLOTS: Final = 5
HELD_MOST: Final = 2 * SLOTS
"""Jobs that run, and as many whose end is being written while the next ones begin."""
GROWTH_KB: Final = 50_000
BURST_JOBS: Final = 100
NAMES: Final = Names()
RING: Final = {"kind": "doorbell", "queue": "default", "v": "1"}
WAITS: Final = """
    select extract(epoch from min(event.at) - job.created_at)::float8
    from headrace.jobs as job
    join headrace.job_events as event on event.job = job.id and event.to_state = 'running'
    where job.id = any($1::uuid[])
    group by job.id
"""
OPEN: Final = "select count(*) from headrace.jobs where state <> 'completed'"
RUNNING: Final = "select count(*) from headrace.jobs where state = 'running'"
CLAIMED: Final = """
    select count(*) from headrace.job_events where to_state = 'running'
"""

Say = Callable[[str], None]


@dataclass
class Site:
    """A database, a Pub/Sub, an application that submits, and what was found wrong."""

    server: CrashServer
    pubsub: PubSubServer
    app: Headrace
    folder: Path
    say: Say
    wrong: list[str] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def worker(self, **variables: str) -> AsyncIterator[int]:
        """A worker that listens, inside a block; its process."""
        given = {
            "HEADRACE_WORKER_PORT": str(free_port()),
            **environment(self.server, self.pubsub),
            **variables,
        }
        before = await self.count(ALIVE)
        async with process(self.server.address, self.folder, "worker", **given) as started:
            async with asyncio.timeout(START_S):
                await until(lambda: self.has(ALIVE, before + 1))
            yield started.pid

    async def count(self, query: str) -> int:
        """What a query counts."""
        connection = await self.server.connect()
        try:
            return int(await connection.fetchval(query))
        finally:
            connection.terminate()

    async def has(self, query: str, number: int) -> bool:
        """Whether it counts so many."""
        return await self.count(query) == number

    async def drained(self) -> None:
        """Return when all jobs are done."""
        async with asyncio.timeout(DRAIN_S):
            await until(lambda: self.has(OPEN, 0))

    async def waits(self, what: str, seconds: float, *, most_s: float) -> None:
        """Submit a job each second for so long; none waits for longer than this for its start."""
        jobs: list[str] = []
        slowest, over_at = 0.0, time.monotonic() + seconds
        while time.monotonic() < over_at:
            began = time.monotonic()
            jobs.append((await self.app.submit(double, len(jobs))).id)
            slowest = max(slowest, time.monotonic() - began)
            await asyncio.sleep(1.0)
        await self.drained()
        connection = await self.server.connect()
        waits = sorted(row[0] for row in await connection.fetch(WAITS, jobs))
        connection.terminate()
        self.say(
            f"{what}: {len(waits)} jobs started after {waits[len(waits) // 2]:.2f} s in the"
            f" middle, {waits[-1]:.2f} s at most; slowest submission {slowest:.2f} s"
        )
        if len(waits) != len(jobs):
            self.wrong.append(f"{what}: {len(jobs) - len(waits)} jobs never started")
        if waits[-1] > most_s:
            self.wrong.append(f"{what}: a job started after {waits[-1]:.1f} s of {most_s:g}")
        if slowest > SUBMIT_S:
            self.wrong.append(f"{what}: a submission took {slowest:.1f} s of {SUBMIT_S:g}")


def environment(server: CrashServer, pubsub: PubSubServer) -> dict[str, str]:
    """What both sides are told."""
    return {
        "HEADRACE_ENV": "testing",
        "HEADRACE_DATABASE_URL": server.address,
        "HEADRACE_DOORBELL": "pubsub",
        "PUBSUB_EMULATOR_HOST": pubsub.address,
    }


async def down(site: Site, seconds: float) -> None:
    """Pub/Sub refuses connections, then answers nothing; jobs are found by polling."""
    async with site.worker(), site.worker():
        await until(lambda: _listen(site, 2))
        await site.waits("with rings", 5, most_s=RUNG_S)
        with site.pubsub.outage():
            await site.waits("Pub/Sub is down", seconds, most_s=ADDED_S)
        await _back(site)
        with site.pubsub.frozen():
            await site.waits("Pub/Sub is cut off", seconds / 2, most_s=ADDED_S)
        await _back(site)
        await site.waits("with rings again", 5, most_s=RUNG_S)


async def _back(site: Site) -> None:
    """Wait until both workers listen again, and hear what is new."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(BACK_S):
            await until(lambda: _listen(site, 2))
            sent = len(site.pubsub.messages(NAMES.jobs))
            await site.app.submit(double, 1)
            await until(lambda: _rung(site, sent))
    except TimeoutError:
        site.wrong.append(f"nobody heard rings {BACK_S:g} s after Pub/Sub was back")
    site.say(f"rings again {time.monotonic() - began:.1f} s after Pub/Sub was back")
    await site.drained()


async def _listen(site: Site, count: int) -> bool:
    return site.pubsub.streams(NAMES.subscription) >= count


async def _rung(site: Site, sent: int) -> bool:
    is_sent = len(site.pubsub.messages(NAMES.jobs)) > sent
    return is_sent and site.pubsub.backlog(NAMES.subscription) == 0


async def flood(site: Site, rings: int) -> None:
    """A burst waits for a worker: it takes as many at a time as it has slots, and jobs go on."""
    claimed = await site.count(CLAIMED)
    async with site.worker(HEADRACE_CONCURRENCY=str(SLOTS)) as pid:
        await until(lambda: _listen(site, 1))
        await site.app.submit(doze, 0)
        await site.drained()
        before, began = _resident_kb(pid), time.monotonic()
        acked = site.pubsub.counts(NAMES.subscription).acked
        with _published(site, rings):
            await site.app.submit_many(doze, list(range(BURST_JOBS)))
            in_hand, running, resident = 0, 0, before
            while site.pubsub.backlog(NAMES.subscription) and time.monotonic() - began < DRAIN_S:
                counts = site.pubsub.counts(NAMES.subscription)
                in_hand = max(in_hand, counts.delivered - counts.acked - counts.expired)
                running = max(running, await site.count(RUNNING))
                resident = max(resident, _resident_kb(pid))
                await asyncio.sleep(LOOK_S)
        took = time.monotonic() - began
        await site.drained()
    left = site.pubsub.backlog(NAMES.subscription)
    done = site.pubsub.counts(NAMES.subscription).acked - acked
    claims = await site.count(CLAIMED) - claimed
    site.say(
        f"{rings:,} rings at once: {done:,} acknowledged in {took:.0f} s, {in_hand} in hand and"
        f" {running} jobs held at most, {(resident - before) / 1_000:.0f} MB more memory"
    )
    for is_wrong, text in (
        (left, f"{left} rings were not acknowledged in {DRAIN_S:g} s"),
        (in_hand > SLOTS, f"{in_hand} rings were in hand at once, of {SLOTS}"),
        (running > HELD_MOST, f"{running} jobs were held at once, of {HELD_MOST}"),
        (resident - before > GROWTH_KB, f"the worker grew by {resident - before:,} kB"),
        (claims != BURST_JOBS + 1, f"{claims} claims for {BURST_JOBS + 1} jobs"),
    ):
        if is_wrong:
            site.wrong.append(text)


@contextlib.contextmanager
def _published(site: Site, rings: int) -> Iterator[None]:
    """So many rings, behind the back of all clients."""
    for _ in range(rings):
        site.pubsub.publish(NAMES.jobs, b"{}", RING)
    yield


def _resident_kb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


async def main_of(options: argparse.Namespace, folder: Path, say: Say) -> list[str]:
    """Do both; what was wrong."""
    with PubSubServer() as pubsub:
        async with CrashServer() as server:
            settings = load_settings(environment(server, pubsub))
            async with Headrace([double, doze], settings=settings) as app:
                await app.messaging.set_up()
                site = Site(server, pubsub, app, folder, say)
                if options.seconds:
                    await down(site, options.seconds)
                if options.rings:
                    await flood(site, options.rings)
                return site.wrong


def main() -> int:
    """Run once."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.doorbell", description=__doc__)
    add = parser.add_argument
    add("--seconds", type=float, default=60.0, help="how long Pub/Sub is down; 0: never")
    add("--rings", type=int, default=50_000, help="of the burst; 0: none")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="headrace-doorbell-") as folder:
        wrong = ["it did not come to its end"]
        try:
            wrong = asyncio.run(main_of(options, Path(folder), _print))
        finally:
            if wrong:
                _print((Path(folder) / "worker.log").read_text(encoding="utf-8")[-2_000:])
    for line in wrong:
        _print(line)
    _print("doorbell FAILED" if wrong else "doorbell ok")
    return 1 if wrong else 0


def _print(line: str) -> None:
    sys.stdout.write(f"{line}{os.linesep}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
