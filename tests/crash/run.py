"""`python -m tests.crash.run`: a fleet of workers under overlapping faults, and the proof after it.

Prints what goes on, the recovery times, and `crash ok: ...`, or the violations with the seed that
repeats the run. Ends with 0 or 1.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.crash.answers import Answers
from tests.crash.app import ScaledHeadrace, pipelines
from tests.crash.faults import CHAOS, Doses, Fault, Havoc, plan
from tests.crash.fleet import Fleet, until
from tests.crash.judge import Verdict, judge
from tests.crash.load import Load
from tests.crash.proxy import Proxy
from tests.crash.recovery import Stopwatch, Times
from tests.crash.rings import Rings, rings
from tests.crash.server import CrashServer
from tests.crash.steps import EFFECTS, SCALE
from tests.proof.journal import Journal
from tests.proof.violation import Violation

SCALED: Final = 1 / 15
REAL_DOSES: Final = Doses(
    kills=200, freezes=50, restarts=20, outages=1, stops=20, network=60, conflicts=6
)
SCALED_DOSES: Final = Doses(
    kills=12, freezes=6, restarts=2, outages=1, stops=3, network=8, conflicts=2
)
OPEN: Final = "select count(*) from headrace.jobs where state in ('queued', 'running')"
UNSENT: Final = """
    select count(*) from headrace.outbox where sent_at is null and given_up_at is null
"""
MOST_OPEN: Final = 300
DRAIN_S: Final = 240.0
TELL_S: Final = 10.0
REPLAY_S: Final = 0.5
"""Between two new runs of jobs that have ended, so that jobs have several results."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What a run is like.

    Attributes:
        seconds: How long faults go on; measuring before and draining after come on top.
        rate: Jobs submitted in a second.
        poison: Jobs that end their worker whenever they run.
        pubsub: Whether workers are woken by Pub/Sub, whose rings are bad, and results leave by it.
    """

    seed: int
    doses: Doses
    seconds: float
    scale: float = 1.0
    workers: int = 4
    rate: float = 6.0
    poison: int = 2
    measure: bool = True
    pubsub: bool = False


class CrashRun:
    """One run, from an empty database to its verdict."""

    def __init__(self, options: Options, folder: Path, say: Say) -> None:
        self._options, self._folder, self._say = options, folder, say
        self.havoc: Havoc
        self._answers: Answers
        self.times: Times | None = None
        self._rings: Rings | None = None

    async def run(self) -> Verdict:
        """Do everything."""
        if not self._options.pubsub:
            return await self._run()
        with rings(self._folder, self._options.scale) as self._rings:
            os.environ.update(self._rings.environment)  # this process submits, and so it rings
            return await self._run()

    async def _run(self) -> Verdict:
        options, folder = self._options, self._folder
        environment = environment_of(folder, options.scale)
        async with CrashServer() as server:
            await make_tables(server)
            fleet = Fleet(server, folder, environment, options.workers)
            entrance = Proxy(server.socket)
            await entrance.start()
            try:
                return await self._work(server, fleet, entrance)
            finally:
                await fleet.abandon()
                await entrance.stop()

    async def _work(self, server: CrashServer, fleet: Fleet, entrance: Proxy) -> Verdict:
        address = f"postgresql://postgres@127.0.0.1:{entrance.port}/postgres?sslmode=disable"
        async with contextlib.AsyncExitStack() as stack:
            app = await stack.enter_async_context(ScaledHeadrace(pipelines, database=address))
            load = Load(app, Journal(self._folder / "journal"), self._options.seed)
            self._answers = Answers(app, self._folder / "sent", self._options.seed)
            load.on_accepted = self._answers.accepted
            self.havoc = Havoc(server, fleet, load.poison, self._note)
            if self._rings is not None:
                await stack.enter_async_context(self._rings.prepared(server))
            await fleet.start()
            self._say(f"{len(fleet.slots)} workers are up")
            if self._options.measure:
                watch = Stopwatch(server, fleet, load, self._options.scale)
                self.times = await watch.measure()
                for line in self.times.lines():
                    self._say(f"recovery: {line}")
            await self._torment(server, fleet, load, entrance)
            await self._drain(server, fleet, load)
        await fleet.wait_registered(len(fleet.slots))  # one that starts knows no signals yet
        codes = await fleet.stop()
        connection = await server.connect()
        try:
            verdict = await judge(
                connection, self._folder, self.havoc.blows, load.poison,
                forgotten=frozenset() if self._rings is None else self._rings.forgotten,
            )  # fmt: skip
        finally:
            await connection.close()
        verdict.violations.extend(Violation("CLIENT", error) for error in load.surprises)
        if any(codes):
            verdict.violations.append(Violation("I26", f"exit codes after SIGTERM: {codes}"))
        return verdict

    def _note(self, line: str) -> None:
        with (self._folder / "faults").open("a", encoding="utf-8") as log:
            log.write(f"{datetime.now(UTC):%H:%M:%S.%f} {line}\n")

    async def _torment(
        self, server: CrashServer, fleet: Fleet, load: Load, entrance: Proxy
    ) -> None:
        options = self._options
        faults = plan(
            options.seed, options.doses, seconds=options.seconds, scale=options.scale,
            workers=len(fleet.slots),
        )  # fmt: skip
        tasks = [
            asyncio.create_task(self._feed(server, load, entrance)),
            asyncio.create_task(self._tell(server, load, faults)),
            asyncio.create_task(self._answers.go_on(options.rate / 4)),
        ]
        if self._rings is not None:
            tasks.append(asyncio.create_task(self._rings.torment(options.seconds)))
            tasks.append(asyncio.create_task(load.replay(REPLAY_S)))
        try:
            await self.havoc.run(faults)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _feed(self, server: CrashServer, load: Load, entrance: Proxy) -> None:
        """Submit at the rate, as long as not too much is open; some replies get lost."""
        dice = random.Random(f"feed {self._options.seed}")  # noqa: S311 - repeatable on purpose
        tasks: set[asyncio.Task[None]] = set()
        for _ in range(self._options.poison):
            await load.submit_one(poison=True)
        while True:
            await asyncio.sleep(dice.expovariate(self._options.rate))
            if dice.random() < 0.02:
                entrance.swallow_commit("client")
            count = await _count_open(server)
            if count is None or count < MOST_OPEN:
                task = asyncio.create_task(load.submit_one())
                tasks.add(task)
                task.add_done_callback(tasks.discard)

    async def _tell(self, server: CrashServer, load: Load, faults: list[Fault]) -> None:
        started = time.monotonic()
        while True:
            await asyncio.sleep(TELL_S)
            done = " ".join(f"{kind} {count}" for kind, count in sorted(self.havoc.done.items()))
            count = await _count_open(server)
            left = "the database is away" if count is None else f"{count} open"
            self._say(
                f"{time.monotonic() - started:5.0f} s: {len(load.accepted)} accepted, {left};"
                f" {sum(self.havoc.done.values())} of {len(faults)} faults: {done}"
            )

    async def _drain(self, server: CrashServer, fleet: Fleet, load: Load) -> None:
        """All faults are over: everything that was accepted has to end."""
        for slot in fleet.slots:
            slot.proxy.heal()
        started = time.monotonic()
        await load.settle()
        self._say(f"faults are over: {await _count_open(server)} open; draining")

        async def is_empty() -> bool:
            await self._answers.answer_all()
            return await _count_open(server) == 0 and await _count_unsent(server) == 0

        try:
            async with asyncio.timeout(DRAIN_S):
                await until(is_empty, every_s=0.1)
        except TimeoutError:
            self._say(f"not drained within {DRAIN_S:.0f} s")
        else:
            self._say(f"drained in {time.monotonic() - started:.1f} s")
        if self._rings is not None:
            self._say(await self._rings.settled())


def environment_of(folder: Path, scale: float) -> dict[str, str]:
    """What the workers of a run are told."""
    return {
        EFFECTS: str(folder / "effects"),
        SCALE: str(scale),
        "HEADRACE_LOG_FORMAT": "json",
        "HEADRACE_ENV": "testing",
    }


async def make_tables(server: CrashServer) -> None:
    connection = await server.connect()
    await connection.execute("create table bookings (job uuid, run integer, mark text)")
    await connection.execute("create table stock (job uuid, run int, mark text, change int)")
    await connection.execute(CHAOS)
    await connection.close()


async def _count_open(server: CrashServer) -> int | None:
    """How many jobs have not ended; None while the database is away."""
    return await _count(server, OPEN)


async def _count_unsent(server: CrashServer) -> int | None:
    """How many events have not left; None while the database is away."""
    return await _count(server, UNSENT)


async def _count(server: CrashServer, query: str) -> int | None:
    try:
        connection = await server.connect()
        try:
            return int(await connection.fetchval(query))
        finally:
            connection.terminate()
    except Exception:  # noqa: BLE001 - it was stopped on purpose
        return None


def tell_verdict(run: CrashRun, verdict: Verdict, options: Options, say: Say) -> bool:
    """Print the end; True when all is in order."""
    late = run.times.late() if run.times is not None else []
    counts = ", ".join(f"{count} {name}" for name, count in verdict.counts.items())
    faults = ", ".join(f"{count} {kind}" for kind, count in sorted(run.havoc.done.items()))
    if not verdict.violations and not late:
        say(f"crash ok: {counts}; faults: {faults}; {run.havoc.spared} spared; seed {options.seed}")
        return True
    for violation in verdict.violations[:50]:
        say(str(violation))
    for line in late:
        say(f"TOO LATE: {line}")
    say(
        f"crash FAILED: {len(verdict.violations)} violations, {len(late)} late recoveries;"
        f" {counts}; faults: {faults}; repeat with --seed {options.seed}"
    )
    return False


def main() -> int:
    """Read the arguments, run, tell."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.run", description=__doc__)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--scaled", action="store_true", help="all durations 15 times shorter")
    parser.add_argument("--minutes", type=float, default=None, help="faults go on for so long")
    for field in fields(Doses):
        parser.add_argument(f"--{field.name}", type=int, default=None)
    parser.add_argument("--pubsub", action="store_true", help="rings and results by a bad Pub/Sub")
    parser.add_argument("--no-measure", action="store_true", help="no recovery times")
    parser.add_argument("--keep", type=Path, default=None, help="folder for journal, effects, logs")
    given = parser.parse_args()
    seed = random.SystemRandom().randrange(1_000_000) if given.seed is None else given.seed
    doses = SCALED_DOSES if given.scaled else REAL_DOSES
    changes = {
        field.name: getattr(given, field.name)
        for field in fields(Doses)
        if getattr(given, field.name) is not None
    }
    minutes = given.minutes or (0.5 if given.scaled else 18.0)
    options = Options(
        seed,
        replace(doses, **changes),
        seconds=minutes * 60,
        scale=SCALED if given.scaled else 1.0,
        measure=not given.no_measure,
        pubsub=given.pubsub,
    )
    folder = given.keep or Path(tempfile.mkdtemp(prefix="headrace-crash-"))
    folder.mkdir(parents=True, exist_ok=True)
    _print(f"seed {seed}; journal, effects and logs are in {folder}")
    run = CrashRun(options, folder, _print)
    verdict = asyncio.run(run.run())
    is_well = tell_verdict(run, verdict, options, _print)
    if is_well and given.keep is None:
        shutil.rmtree(folder)
    return 0 if is_well else 1


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a command's output


if __name__ == "__main__":
    sys.exit(main())
