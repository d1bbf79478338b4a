"""Where a job is while it waits: in its slot, or in its queue."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from time import monotonic

from headrace import (
    Each,
    JobState,
    Pipeline,
    Retry,
    RetryAfter,
    StepContext,
)
from headrace.testing import EventRow
from headrace.worker.timing import Timing
from tests.engine.conftest import MakeEngine
from tests.waiting import eventually

SCALED = Timing().scaled(1 / 15)
HOUR = timedelta(hours=1)


def went_back(events: list[EventRow]) -> list[str]:
    return [event.reason for event in events if event.to_state == "queued"][1:]


async def state_is(job: object, state: JobState) -> bool:
    return (await job.status()).state is state  # type: ignore[attr-defined]


class TestWaitsInPlace:
    async def test_a_short_wait_keeps_the_slot_and_a_longer_one_gives_it_back(
        self, make_engine: MakeEngine
    ):
        timing = replace(SCALED, wait_in_place=timedelta(seconds=0.5))
        pipe = Pipeline("pipe", input=float, output=float)

        @pipe.step
        async def wait(delay: float, ctx: StepContext) -> float:
            if ctx.attempt == 1:
                raise RetryAfter(delay)
            return delay

        async with make_engine([pipe], timing=timing) as engine:
            short = await engine.submit(pipe, 0.1)
            long = await engine.submit(pipe, 0.7)
            await engine.run_until_empty()
            assert went_back(await engine.events(short)) == []
            assert went_back(await engine.events(long)) == ["rate_limited"]

    async def test_a_slot_that_was_given_back_is_used_by_others(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        async def wait(number: int, ctx: StepContext) -> int:
            if number == 1 and ctx.attempt == 1:
                raise RetryAfter(HOUR)
            return number

        async with make_engine([pipe]) as engine, engine.worker(concurrency=1):
            waiting = await engine.submit(pipe, 1)
            await eventually(lambda: engine.tries(waiting))
            other = await engine.submit(pipe, 2)
            assert await other.result(timeout=5) == 2
            assert (await engine.job(waiting)).state is JobState.QUEUED

    async def test_a_job_with_a_waiting_item_goes_back_only_when_nothing_of_it_runs(
        self, make_engine: MakeEngine
    ):
        go_on = asyncio.Event()
        pipe = Pipeline("pipe", input=int, output=list[str])

        @pipe.step(retry=Retry(attempts=2, first=60, jitter=0))
        async def work(number: int, ctx: StepContext, item: str = Each(("bad", "slow"))) -> str:
            if item == "bad" and ctx.attempt == number:
                raise RuntimeError(item)
            if item == "slow":
                await go_on.wait()
            return item

        async with make_engine([pipe]) as engine, engine.worker():
            begun = monotonic()
            job = await engine.submit(pipe, 1)
            [tried] = await eventually(lambda: engine.tries(job))
            assert (await engine.job(job)).state is JobState.RUNNING
            go_on.set()
            await eventually(lambda: state_is(job, JobState.QUEUED))
            row = await engine.job(job)
            assert tried.due_at is not None
            assert abs(row.due_at - tried.due_at) < timedelta(seconds=monotonic() - begun)
            assert [r.state for r in await engine.steps(job)] == ["planned", "completed"]
            await engine.run_until_empty(skip_waits=True)
            assert await job.result() == ["bad", "slow"]

    async def test_an_item_whose_time_comes_while_another_runs_starts_at_once(
        self, make_engine: MakeEngine
    ):
        again = asyncio.Event()
        pipe = Pipeline("pipe", input=int, output=list[str])

        @pipe.step(retry=Retry(attempts=2, first=0.3, jitter=0))
        async def work(number: int, ctx: StepContext, item: str = Each(("bad", "slow"))) -> str:
            if item == "bad" and ctx.attempt == number:
                raise RuntimeError(item)
            if item == "bad":
                again.set()
            async with asyncio.timeout(5):
                await again.wait()
            return item

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 1)
            await engine.run_until_empty()
            assert await job.result() == ["bad", "slow"]
            assert went_back(await engine.events(job)) == []
