"""`python -m tests.crash.breakers`: a service goes down and hangs while workers call it and die.

The service notes every call itself; the workers share a breaker, and are killed and frozen. Prints
what the service saw, and `breakers ok: ...` or the violations of I24. Ends with 0 or 1.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final, Literal

from headrace.testing import Engine
from headrace.testing.process import WorkerProcess
from headrace.worker.timing import Timing
from tests.crash.guarded import OPEN_S, PORT, PROBE_S, guarded
from tests.crash.server import CrashServer
from tests.proof.breakers import Bounds, Call, check_breaker
from tests.proof.violation import Row, Violation
from tests.waiting import eventually

Mode = Literal["up", "down", "split", "hang"]

PHASES: Final[tuple[Mode, ...]] = ("up", "down", "split", "up", "hang")
PHASE_S: Final = 10.0
SLOTS: Final = 10
ANSWER_S: Final = 0.02
JOBS_AT_ONCE: Final = 10
PAUSE_S: Final = 0.25
BLOW_S: Final = (1.0, 4.0)
FROZEN_S: Final = (0.5, 5.0)
THAWED_S: Final = 1.0
"""A process that was frozen may have been let through before it was, if it says so soon after."""
DRAIN_S: Final = 180.0
BOUNDS: Final = Bounds(
    # A second in which a process may not have heard, and as much for two clocks of a busy machine.
    overshoot=timedelta(seconds=2),
    open_for=timedelta(seconds=OPEN_S),
    failures=5,
    within=timedelta(seconds=60),
    successes=2,
    probe_timeout=timedelta(seconds=PROBE_S),
)
CHANGES: Final = "select * from headrace.breaker_changes where name = 'service' order by id"
TRIES: Final = "select class, count(*) from headrace.tries group by class order by class"
LEFT: Final = "select count(*) from headrace.jobs where state <> 'completed'"


@dataclass(slots=True)
class Noted:
    """A call that has come in."""

    process: int
    let_at: float
    ended_at: float | None = None
    failed: bool = True


@dataclass(slots=True)
class Service:
    """Answers calls as its mode says, and notes each."""

    mode: Mode = "up"
    cut_off: set[int] = field(default_factory=set)
    """Processes for which it is down while it is `split`: others learn that from the breaker."""
    calls: list[Noted] = field(default_factory=list)
    port: int = 0

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Be there inside an `async with` block."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await self._answer(reader, writer)
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        if not line:
            return
        said, mode = json.loads(line), self.mode
        call = Noted(said["process"], said["let_at"])
        self.calls.append(call)
        if mode == "hang":
            await reader.read()  # until the client has had enough
        else:
            is_up = mode == "up" or (mode == "split" and call.process not in self.cut_off)
            await asyncio.sleep(ANSWER_S)
            writer.write(b"ok\n" if is_up else b"down\n")
            await writer.drain()
            call.failed = not is_up
        call.ended_at = time.time()


@dataclass(slots=True)
class Fleet:
    """Workers that are killed and frozen, and the times at which they were."""

    engine: Engine
    service: Service
    exits: contextlib.AsyncExitStack
    workers: list[WorkerProcess] = field(default_factory=list)
    frozen: list[tuple[int, float, float]] = field(default_factory=list)
    killed: int = 0

    async def start(self) -> None:
        """One more."""
        process = await self.exits.enter_async_context(
            self.engine.spawn(
                "tests.crash.guarded:guarded",
                concurrency=SLOTS,
                environment={PORT: str(self.service.port)},
            )
        )
        if not self.service.cut_off.intersection(one.pid for one in self.workers):
            self.service.cut_off.add(process.pid)
        self.workers.append(process)

    async def strike(self, luck: random.Random) -> None:
        """Kill one and start another in its place, or freeze one for a while."""
        process = luck.choice(self.workers)
        if luck.random() < 0.5:
            process.kill()
            self.workers.remove(process)
            self.killed += 1
            await self.start()
            return
        began = time.time()
        process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(luck.uniform(*FROZEN_S))
        process.send_signal(signal.SIGCONT)
        self.frozen.append((process.pid, began, time.time()))

    async def strike_on(self, luck: random.Random) -> None:
        """As `strike`, again and again."""
        while True:
            await asyncio.sleep(luck.uniform(*BLOW_S))
            await self.strike(luck)

    def call(self, noted: Noted) -> Call:
        """A call as the checker has it."""
        let_from = noted.let_at
        for pid, began, ended in self.frozen:
            if pid == noted.process and began <= noted.let_at <= ended + THAWED_S:
                let_from = min(let_from, began)
        return Call(
            noted.process,
            _time(let_from),
            _time(noted.let_at),
            None if noted.ended_at is None else _time(noted.ended_at),
            noted.failed,
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of it."""

    violations: list[Violation]
    lines: list[str]


async def run(seed: int, rounds: int, workers: int) -> Verdict:
    """Let the service go through its modes, and judge what it saw."""
    luck, service = random.Random(seed), Service()  # noqa: S311 - a seed repeats the run
    async with CrashServer() as database, service.listening(), contextlib.AsyncExitStack() as exits:
        engine = await exits.enter_async_context(
            Engine([guarded], server=database.address, timing=Timing())
        )
        fleet = Fleet(engine, service, exits)
        for _ in range(workers):
            await fleet.start()
        beside = [
            asyncio.create_task(_submit_on(engine)),
            asyncio.create_task(fleet.strike_on(luck)),
        ]
        for mode in PHASES * rounds:
            service.mode = mode
            await asyncio.sleep(PHASE_S)
        service.mode = "up"
        for task in beside:
            task.cancel()
        await asyncio.wait(beside)
        for process in fleet.workers:  # one may be frozen
            process.send_signal(signal.SIGCONT)
        return await _judge(engine, fleet, service)


async def _submit_on(engine: Engine) -> None:
    while True:
        await engine.submit_many(guarded, range(JOBS_AT_ONCE))
        await asyncio.sleep(PAUSE_S)


async def _judge(engine: Engine, fleet: Fleet, service: Service) -> Verdict:
    async with engine.connection() as connection:

        async def all_done() -> bool:
            return bool(await connection.fetchval(LEFT) == 0)

        await eventually(all_done, within=DRAIN_S)
        changes = [dict(row) for row in await connection.fetch(CHANGES)]
        tries = await connection.fetch(TRIES)
    calls = [fleet.call(noted) for noted in service.calls]
    opened = sum(change["to_state"] == "open" for change in changes)
    lines = [
        f"{len(calls)} calls, {sum(call.failed for call in calls)} failed",
        f"opened {opened} times, tried {sum(change['probes'] for change in changes)} calls",
        f"workers killed {fleet.killed}, frozen {len(fleet.frozen)} times",
        f"latest call after an opening: {_overshoot(changes, calls):.3f} s",
        "put off or failed: " + ", ".join(f"{row[0]} {row[1]}" for row in tries),
    ]
    violations = list(check_breaker(changes, calls, BOUNDS))
    if not opened:
        violations.append(Violation("I24", "it never opened"))
    return Verdict(violations, lines)


def _overshoot(changes: Sequence[Row], calls: Sequence[Call]) -> float:
    """Seconds from an opening to the last call that was let through by who had not heard of it."""
    most = 0.0
    for change, following in pairwise(changes):
        if change["to_state"] == "open":
            late = [
                (call.let_from - change["at"]).total_seconds()
                for call in calls
                if change["at"] <= call.let_from and call.let_at < following["at"]
            ]
            most = max([most, *late])
    return most


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def main() -> int:
    """Run once."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.breakers", description=__doc__)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--rounds", type=int, default=2, help=f"of {len(PHASES)} x {PHASE_S:g} s")
    parser.add_argument("--workers", type=int, default=4)
    given = parser.parse_args()
    verdict = asyncio.run(run(given.seed, given.rounds, given.workers))
    wrong = len(verdict.violations)
    outcome = f"FAILED: {wrong} violations" if wrong else "ok"
    told = [*verdict.lines, *map(str, verdict.violations), f"breakers {outcome}: seed {given.seed}"]
    sys.stdout.write("\n".join(told) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
