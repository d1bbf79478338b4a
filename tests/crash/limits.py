"""`python -m tests.crash.limits`: eight workers call a service that takes 100 calls a second.

The service is an HTTP server that notes every call when it comes in. At first a backlog is worked
off; then the service is out of order for a minute, and what is left is worked off after it. Prints
what the service saw, and `limits ok` or what is wrong. Ends with 0 or 1.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import threading
import time
from bisect import bisect_left
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final

from headrace.testing import Engine
from headrace.testing.http_threads import Reply, Request, ThreadedServer
from headrace.worker.timing import Timing
from tests.crash.limited import ADDRESS, LEFT, RATE, limited
from tests.crash.server import CrashServer
from tests.waiting import eventually

PROCESSES: Final = 8
BUCKET: Final = RATE
"""What flows in during a second, as the limit has no `burst`."""
CONCURRENCY: Final = 20
SETTLED_S: Final = 5.0
"""Of the bucket's first content, and of the workers' start."""
OFF: Final = 0.02
"""By which the measured rate may differ."""
LATE_S: Final = 0.1
"""By which calls may leave late; what missed its turn by more asks anew."""
FIRST_CALL_S: Final = 35.0
DRAIN_LEAST: Final = 98.0
DRAIN_S: Final = 300.0
USED: Final = """\
select count(*) from headrace.tries where class not in ('rate_limited', 'unavailable')"""
WAITED: Final = """\
select class, count(*), max(attempt) from headrace.tries group by class order by class"""


@dataclass(slots=True)
class Service:
    """Notes when calls come in; while it is out of order it answers 503."""

    calls: list[float] = field(default_factory=list)
    left: list[float] = field(default_factory=list)
    """When they left, not in order."""
    is_down: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def reply(self, request: Request) -> Reply:
        """Answer a call."""
        with self.lock:
            if not self.is_down:
                self.calls.append(time.monotonic())
                self.left.append(float(request.headers[LEFT]))
            return Reply(503 if self.is_down else 200, b"{}")

    def rate(self, since: float, until: float) -> float:
        """Calls a second in some time."""
        first, last = bisect_left(self.calls, since), bisect_left(self.calls, until)
        return (last - first) / (until - since)


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of it."""

    rate: float
    """Over the measured time."""
    over: float
    """Calls by which any stretch of time passed the bucket and what flowed in, as they left."""
    over_here: float
    """The same, as they came in: a busy machine brings together what left in time."""
    first_s: float
    """From the service's recovery to the first call that went well."""
    drain: float
    """Calls a second from the end of the line's gap to the end of the backlog."""
    drained: int
    attempts: int
    """That were used."""
    waits: str
    lost: int
    """Jobs that did not complete."""

    def lines(self) -> list[str]:
        """What happened, for people."""
        return [
            f"steady: {self.rate:.2f} calls/s of {RATE:g}",
            f"most above the bucket: {self.over:.1f} calls, as they left",
            f"and {self.over_here:.1f}, as they came in on this machine",
            f"after the outage: the first call {self.first_s:.1f} s after recovery",
            f"then {self.drained} calls at {self.drain:.2f}/s",
            f"attempts used: {self.attempts}; put off: {self.waits}",
        ]

    def wrong(self) -> list[str]:
        """What is not as promised."""
        found = []
        if abs(self.rate - RATE) > OFF * RATE:
            found.append(f"{self.rate:.2f} calls/s, not {RATE:g}")
        if self.over > RATE * LATE_S:
            found.append(f"a burst of {self.over:.1f} calls above the bucket")
        if self.first_s > FIRST_CALL_S:
            found.append(f"the first call came {self.first_s:.1f} s after recovery")
        if self.drain < DRAIN_LEAST:
            found.append(f"the backlog drained at {self.drain:.2f} calls/s")
        if self.attempts or self.lost:
            found.append(f"{self.attempts} attempts were used, {self.lost} jobs not completed")
        return found


def most_above(calls: Sequence[float], rate: float, burst: float) -> float:
    """The most by which the calls of any stretch of time pass `burst` and `rate` of it."""
    level, at, most = 0.0, calls[0] if calls else 0.0, 0.0
    for call in calls:
        level = max(0.0, level - (call - at) * rate) + 1
        at, most = call, max(most, level - burst)
    return most


async def limits(seconds: float, outage_s: float, backlog: int) -> Seen:
    """Work off a backlog, put the service out of order, and work off the rest."""
    service = Service()
    server = ThreadedServer(service.reply)
    server.start()
    jobs = int((seconds + SETTLED_S) * RATE) + backlog
    try:
        async with CrashServer() as database, AsyncExitStack() as exits:
            engine = await exits.enter_async_context(
                Engine([limited], server=database.address, timing=Timing())
            )
            environment = {ADDRESS: f"http://127.0.0.1:{server.server_address[1]}"}
            for _ in range(PROCESSES):
                await exits.enter_async_context(
                    engine.spawn(
                        "tests.crash.limited:limited",
                        concurrency=CONCURRENCY,
                        environment=environment,
                    )
                )
            await engine.submit_many(limited, range(jobs))
            began = time.monotonic() + SETTLED_S
            await asyncio.sleep(SETTLED_S + seconds)
            rate = service.rate(began, began + seconds)
            back = await put_out_of_order(service, outage_s)
            return await judge(engine, service, jobs, rate, back)
    finally:
        server.stop()


async def put_out_of_order(service: Service, seconds: float) -> float:
    """Have the service fail for some time; when it was back."""
    service.is_down = True
    await asyncio.sleep(seconds)
    service.is_down = False
    return time.monotonic()


async def judge(engine: Engine, service: Service, jobs: int, rate: float, back: float) -> Seen:
    """Wait for the end, and say what was seen."""
    await eventually(lambda: len(service.calls) >= jobs, within=DRAIN_S)
    calls = service.calls
    first = bisect_left(calls, back)
    # The second success closes the breaker.
    drain = calls[first + 2 :]
    async with engine.connection() as connection:

        async def left() -> int:
            return int(
                await connection.fetchval(
                    "select count(*) from headrace.jobs where state <> 'completed'"
                )
            )

        lost = await left()
        if lost:
            await asyncio.sleep(SETTLED_S)
            lost = await left()
        rows = await connection.fetch(WAITED)
        attempts = await connection.fetchval(USED)
    return Seen(
        rate,
        most_above(sorted(service.left), RATE, BUCKET),
        most_above(calls, RATE, BUCKET),
        calls[first] - back,
        len(drain) / (drain[-1] - drain[0]),
        len(drain),
        attempts,
        ", ".join(f"{row[0]} {row[1]} times (at most the {row[2]}th try)" for row in rows),
        lost,
    )


def main() -> int:
    """Run once."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.limits", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="over which it is measured")
    parser.add_argument("--outage", type=float, default=60.0, help="seconds out of order")
    parser.add_argument("--backlog", type=int, default=3_000, help="jobs left for after it")
    given = parser.parse_args()
    seen = asyncio.run(limits(given.seconds, given.outage, given.backlog))
    wrong = seen.wrong()
    for line in [*seen.lines(), *wrong]:
        print(line)  # noqa: T201 - a command's output
    print("limits FAILED" if wrong else "limits ok")  # noqa: T201
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
