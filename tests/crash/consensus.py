"""Two hundred reviews at once against a model server that takes 50 requests a second.

    python -m tests.crash.consensus [--jobs 200] [--rate 50] [--workers 2]

Every job must complete, no attempt may be spent on waiting, no answer may be paid for twice. What
all workers together send must stay within the server's rate over any five seconds: how far requests
bunch on their way is up to the machine, and is printed; the server answers those with 429.
It is real: processes, PostgreSQL, HTTP.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from collections import Counter
from dataclasses import dataclass
from time import monotonic
from typing import Final

from headrace import JobState
from headrace.pipelines.consensus import IdeaInput, consensus
from headrace.testing import Engine, ModelServer

CALLS_A_JOB: Final = 6
HEADROOM: Final = 0.9
"""Of the server's rate; the rest is for what may pass at once."""
STRETCH_S: Final = 5.0
BURST_S: Final = 0.1
LOOK_S: Final = 0.5
TRIES: Final = """
    select tries.class, count(*) from headrace.tries as tries group by 1
"""


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes:
        states: Jobs by their state.
        tries: Rows of `tries` by their class.
        answers: Requests that were answered, and paid.
        refused: Requests that were refused with 429.
        answered_peak: The most answers in any second.
        sent_peak: The most requests in any second, refused ones too.
        sent_rate: The most requests a second over any five seconds, refused ones too.
        seconds: From the first submission to the last end.
    """

    states: Counter[str]
    tries: dict[str, int]
    answers: int
    refused: int
    answered_peak: int
    sent_peak: int
    sent_rate: float
    seconds: float

    def problems(self, jobs: int, rate: int) -> list[str]:
        """What is not as it must be."""
        found = []
        if self.states != Counter({JobState.COMPLETED: jobs}):
            found.append(f"not all jobs completed: {dict(self.states)}")
        if set(self.tries) - {"rate_limited"}:
            found.append(f"attempts were used: {self.tries}")
        if self.answers != jobs * CALLS_A_JOB:
            found.append(f"{self.answers} answers were paid, not {jobs * CALLS_A_JOB}")
        if self.answered_peak > rate:
            found.append(f"{self.answered_peak} answers in a second are more than {rate}")
        if self.sent_rate > rate:
            found.append(f"{self.sent_rate:g} requests a second are more than {rate}")
        return found


async def prove(jobs: int, rate: int, workers: int) -> Outcome:
    """Run the jobs to their end."""
    async with (
        ModelServer(requests_per_second=rate) as server,
        Engine([consensus]) as engine,
        contextlib.AsyncExitStack() as fleet,
    ):
        environment = {
            "HEADRACE_CONSENSUS_OPENAI_BASE_URL": server.base_url,
            "HEADRACE_CONSENSUS_OPENAI_API_KEY": str(server.api_key),
            "HEADRACE_CONSENSUS_LLM_REQUESTS_PER_MIN": str(int(rate * HEADROOM * 60)),
            "HEADRACE_CONSENSUS_LLM_TOKENS_PER_MIN": "1000000000",
            "HEADRACE_CONSENSUS_LLM_BURST_S": str(BURST_S),
        }
        begun = monotonic()
        ideas = [IdeaInput(idea=f"Idea {number}: a library of tools.") for number in range(jobs)]
        await engine.submit_many(consensus, ideas)
        for _ in range(workers):
            await fleet.enter_async_context(
                engine.spawn(
                    "headrace.pipelines.consensus:consensus",
                    concurrency=-(-jobs // workers),
                    environment=environment,
                )
            )
        await _until_over(engine, server, jobs)
        seconds = monotonic() - begun
        states = Counter(row.state for row in await engine.jobs())
        async with engine.connection() as connection:
            tries = {row["class"]: row["count"] for row in await connection.fetch(TRIES)}
        times = [call.at for call in server.calls]
        return Outcome(
            states=states,
            tries=tries,
            answers=len(server.paid),
            refused=sum(call.status == 429 for call in server.calls),
            answered_peak=_most([call.at for call in server.paid], 1.0),
            sent_peak=_most(times, 1.0),
            sent_rate=_most(times, STRETCH_S) / STRETCH_S,
            seconds=seconds,
        )


async def _until_over(engine: Engine, server: ModelServer, jobs: int) -> None:
    while True:
        rows = await engine.jobs()
        over = sum(row.state not in (JobState.QUEUED, JobState.RUNNING) for row in rows)
        shown = f"\r{over}/{jobs} jobs ended, {len(server.paid)} answers"
        sys.stderr.write(shown if sys.stderr.isatty() else "")
        if over == jobs:
            return
        await asyncio.sleep(LOOK_S)


def _most(times: list[float], within_s: float) -> int:
    """The most of them in any stretch of time."""
    first, most = 0, 0
    ordered = sorted(times)
    for place, time in enumerate(ordered):
        while time - ordered[first] >= within_s:
            first += 1
        most = max(most, place - first + 1)
    return most


def _plain(states: Counter[str]) -> dict[str, int]:
    return {str(state): count for state, count in states.items()}


def main() -> int:
    """Run it and print what came of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--rate", type=int, default=50)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    outcome = asyncio.run(prove(given.jobs, given.rate, given.workers))
    print(  # noqa: T201
        f"{given.jobs} reviews at once, {given.rate} requests a second allowed: "
        f"{outcome.answers} answers in {outcome.seconds:.1f} s, at most {outcome.answered_peak} in "
        f"a second; sent at most {outcome.sent_rate:.1f} a second over five, {outcome.sent_peak} "
        f"in one; {outcome.refused} refused with 429; jobs {_plain(outcome.states)}; "
        f"put off {outcome.tries or 'none'}"
    )
    problems = outcome.problems(given.jobs, given.rate)
    for problem in problems:
        print(f"FAILED: {problem}")  # noqa: T201
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
