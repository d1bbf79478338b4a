"""`python -m tests.crash.outage`: the database is stopped for a minute while clients submit.

An API and a worker run as a user starts them. Prints what the clients and `/ready` saw, and
`outage ok: ...` or what is wrong. Ends with 0 or 1.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from headrace.store.api_keys import create_api_key
from tests.crash.callers import Answer, Caller, Submitter, Watch
from tests.crash.fleet import until
from tests.crash.processes import process
from tests.crash.server import CrashServer
from tests.ports import free_port

TURNS_S: Final = 15.0
RETURNS_S: Final = 10.0
LONGEST_S: Final = 30.0
"""The time limit of a request."""
START_S: Final = 30.0
DRAIN_S: Final = 120.0
JOBS: Final = "select id::text, state, idempotency_key from headrace.jobs"


@dataclass(frozen=True, slots=True)
class Options:
    """How long the database is away, and what goes on meanwhile.

    Attributes:
        away_s: From its stop to its start.
        beside_s: Load before and after.
        pause_s: Of a client between two submissions.
        immediate: Stopped as by a crash, not in order.
    """

    away_s: float = 60.0
    beside_s: float = 5.0
    clients: int = 64
    pause_s: float = 0.1
    immediate: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of it; `wrong` judges."""

    answers: list[Answer]
    accepted: dict[str, str]
    """Jobs by the name of their request."""
    stored: dict[str, tuple[str, str | None]]
    """State and key of the jobs in the database, by id."""
    turned_s: dict[str, float | None]
    """From the stop until `/ready` said 503, by process."""
    returned_s: dict[str, float | None]
    """From the moment the database was back until it said 200."""
    alive: dict[str, bool]
    """Whether a process is still the one that was started."""

    def wrong(self) -> list[str]:
        """What is not as promised."""
        return [*self._wrong_answers(), *self._wrong_jobs(), *self._wrong_processes()]

    def lines(self) -> list[str]:
        """What happened, for people."""
        counts = Counter(answer.status for answer in self.answers)
        refused = [answer.seconds for answer in self.answers if answer.status != 202]
        told = ", ".join(f"{count} x {status}" for status, count in sorted(counts.items()))
        return [
            f"answers: {told}; longest refusal {max(refused, default=0):.1f} s",
            f"/ready: 503 after {_shown(self.turned_s)}; 200 after {_shown(self.returned_s)}",
            f"{len(self.accepted)} accepted, {len(self.stored)} stored",
        ]

    def _wrong_answers(self) -> list[str]:
        found = []
        for answer in self.answers:
            if answer.status not in {202, 503}:
                found.append(f"answered {answer.status} after {answer.seconds:.1f} s")
            elif answer.status == 503 and not answer.headers.get("retry-after", "").isdecimal():
                found.append("a 503 without Retry-After")
            if answer.seconds > LONGEST_S:
                found.append(f"an answer took {answer.seconds:.1f} s")
        return found

    def _wrong_jobs(self) -> list[str]:
        ids = list(self.accepted.values())
        found = [f"{job} was accepted and is not stored" for job in ids if job not in self.stored]
        if len(set(ids)) != len(ids):
            found.append("two requests got the same job")
        found += [f"{job} is {one[0]}" for job, one in self.stored.items() if one[0] != "completed"]
        by_key = Counter(key for _, key in self.stored.values() if key is not None)
        return found + [f"{count} jobs of key {key}" for key, count in by_key.items() if count > 1]

    def _wrong_processes(self) -> list[str]:
        found = [f"the {name} ended" for name, alive in self.alive.items() if not alive]
        for limit, times in ((TURNS_S, self.turned_s), (RETURNS_S, self.returned_s)):
            found += [
                f"/ready of the {name} took {took} s of {limit:g}"
                for name, took in times.items()
                if took is None or took > limit
            ]
        return found


def _shown(times: dict[str, float | None]) -> str:
    return ", ".join(
        f"{'never' if took is None else f'{took:.1f} s'} ({name})" for name, took in times.items()
    )


async def outage(options: Options, folder: Path) -> Seen:
    """Start everything, stop the database, start it again, and wait until all jobs are done."""
    async with CrashServer() as server:
        ports = {"api": free_port(), "worker": free_port()}
        key, address = await _make_key(server), server.address
        async with (
            process(address, folder, "api", HEADRACE_PORT=str(ports["api"])) as api,
            process(address, folder, "worker", HEADRACE_WORKER_PORT=str(ports["worker"])) as worker,
        ):
            watches = {name: Watch(port) for name, port in ports.items()}
            watching = [asyncio.create_task(watch.run(0.1)) for watch in watches.values()]
            try:
                await _until_ready(watches)
                clients = [
                    Submitter(
                        Caller(ports["api"], key), number, keyed=bool(number % 2),
                        pause_s=options.pause_s,
                    )
                    for number in range(options.clients)
                ]  # fmt: skip
                stopped, back = await _torment(server, options, clients, watches)
                await _drained(server)
            finally:
                for task in watching:
                    task.cancel()
                await asyncio.gather(*watching, return_exceptions=True)
            return Seen(
                answers=[answer for client in clients for answer in client.answers],
                accepted={name: job for one in clients for name, job in one.jobs.items()},
                stored=await _stored(server),
                turned_s={name: watch.since(stopped, 503) for name, watch in watches.items()},
                returned_s={name: watch.since(back, 200) for name, watch in watches.items()},
                alive={
                    name: started.returncode is None
                    for name, started in (("api", api), ("worker", worker))
                },
            )


async def _torment(
    server: CrashServer, options: Options, clients: list[Submitter], watches: dict[str, Watch]
) -> tuple[float, float]:
    """Load, and the outage in the middle of it; when it began and ended."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(client.run(stop))
        await asyncio.sleep(options.beside_s)
        stopped = time.monotonic()
        await server.stop(immediate=options.immediate)
        await asyncio.sleep(max(0.0, options.away_s - (time.monotonic() - stopped)))
        await server.start()
        back = time.monotonic()
        await _until_ready(watches)
        await asyncio.sleep(options.beside_s)
        stop.set()
    return stopped, back


async def _make_key(server: CrashServer) -> str:
    connection = await server.connect()
    try:
        key, _ = await create_api_key(
            connection, tenant="acme", owner="ann", scopes=["jobs:write"],
            life=timedelta(hours=1), by="tests",
        )  # fmt: skip
    finally:
        await connection.close()
    return key


async def _until_ready(watches: dict[str, Watch]) -> None:
    async def are_ready() -> bool:
        return all(watch.said and watch.said[-1][1] == 200 for watch in watches.values())

    async with asyncio.timeout(START_S):
        await until(are_ready)


async def _stored(server: CrashServer) -> dict[str, tuple[str, str | None]]:
    connection = await server.connect()
    try:
        return {row[0]: (row[1], row[2]) for row in await connection.fetch(JOBS)}
    finally:
        await connection.close()


async def _drained(server: CrashServer) -> None:
    """Wait until the worker has done everything; what is left then is told by the verdict."""

    async def is_done() -> bool:
        return all(state == "completed" for state, _ in (await _stored(server)).values())

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_S):
            await until(is_done, every_s=0.5)


def main() -> int:
    """Run once with the real durations."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.outage", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long it is away")
    parser.add_argument("--immediate", action="store_true", help="stopped as by a crash")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="headrace-outage-") as folder:
        options = Options(away_s=given.seconds, immediate=given.immediate)
        seen = asyncio.run(outage(options, Path(folder)))
    wrong = seen.wrong()
    for line in [*seen.lines(), *wrong[:50]]:
        print(line)  # noqa: T201 - a command's output
    print("outage FAILED" if wrong else "outage ok")  # noqa: T201
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
