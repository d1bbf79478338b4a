"""Time limits, and steps that do not keep to them."""

import asyncio
import threading
from dataclasses import replace
from datetime import timedelta

from headrace import JobState, Pipeline, Retry, RetryAfter, StepContext, SyncContext
from headrace.settings import Settings
from headrace.telemetry.job_events import JobFailed, JobTimeout
from headrace.telemetry.step_events import StepAbandoned
from headrace.worker.timing import Timing
from tests.engine.conftest import MakeEngine
from tests.listening import listening
from tests.waiting import eventually

SCALED = Timing().scaled(1 / 15)
ONCE = Retry(attempts=1)


class TestStepLimit:
    async def test_an_async_step_is_cancelled_at_it(self, make_engine: MakeEngine):
        ended: list[str] = []
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step(timeout=0.2, retry=ONCE)
        async def hang(number: int) -> int:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise
            return number

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 1)
            await engine.run_until_empty()
            row = await engine.job(job)
            assert (row.state, row.cause) == (JobState.FAILED, "step_timeout")
            [tried] = await engine.tries(job)
            assert tried.message == "step hang took longer than its 0.2 s"
            assert timedelta(seconds=0.2) <= tried.latency < timedelta(seconds=1)
        assert ended == ["cancelled"]

    async def test_a_plain_step_that_looks_at_its_context_stops_in_time(
        self, make_engine: MakeEngine
    ):
        asked = threading.Event()
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step(timeout=0.2, retry=ONCE)
        def work(number: int, ctx: SyncContext) -> int:
            while not ctx.cancelled:
                asked.wait(0.005)
            assert ctx.remaining() == timedelta()
            raise RuntimeError("stopped" * number)

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 1)
            with listening() as told:
                await engine.run_until_empty()
            assert (await engine.job(job)).cause == "step_timeout"
            assert told.of(StepAbandoned) == []

    async def test_what_is_ready_is_stored_even_if_the_limit_passed_meanwhile(
        self, make_engine: MakeEngine
    ):
        timing = replace(SCALED, cancel_kill=timedelta(seconds=5))
        go_on = threading.Event()
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step(timeout=0.2, retry=ONCE)
        def work(number: int, ctx: SyncContext) -> int:
            while not ctx.cancelled:
                go_on.wait(0.005)
            return number

        async with make_engine([pipe], timing=timing) as engine:
            job = await engine.submit(pipe, 7)
            await engine.run_until_empty()
            assert await job.result() == 7

    async def test_each_try_has_the_whole_of_it(self, make_engine: MakeEngine):
        remaining: list[timedelta] = []
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step(timeout=10, retry=Retry(attempts=3, first=0.1))
        async def work(number: int, ctx: StepContext) -> int:
            remaining.append(ctx.remaining())
            if ctx.attempt < 3:
                await asyncio.sleep(0.3)
                raise RuntimeError
            return number

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 7)
            await engine.run_until_empty()
            assert await job.result() == 7
        assert all(timedelta(seconds=9.7) < left <= timedelta(seconds=10) for left in remaining)


class TestJobLimit:
    async def test_the_time_of_all_claims_counts(self, make_engine: MakeEngine):
        remaining: list[timedelta] = []
        pipe = Pipeline("pipe", input=int, output=int, timeout=0.9)

        @pipe.step
        async def work(number: int, ctx: StepContext) -> int:
            remaining.append(ctx.remaining())
            if ctx.attempt < 3:
                await asyncio.sleep(0.05)
                raise RetryAfter(10)
            await asyncio.Event().wait()
            return number

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 1)
            with listening() as told:
                await engine.run_until_empty(skip_waits=True)
            row = await engine.job(job)
            assert (row.state, row.cause) == (JobState.FAILED, "job_timeout")
            assert [event.cause for event in told.of(JobTimeout)] == ["job_timeout"]
            assert told.of(JobFailed) == []
            assert len(await engine.tries(job)) == 2
        assert remaining[2] <= remaining[1] - timedelta(seconds=0.05)
        assert remaining[1] <= remaining[0] - timedelta(seconds=0.05)

    async def test_time_in_the_queue_does_not_count(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=int, timeout=5)

        @pipe.step
        async def work(number: int, ctx: StepContext) -> int:
            if ctx.attempt < 4:
                raise RetryAfter(10)
            return number

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 1)
            await engine.run_until_empty(skip_waits=True)
            assert await job.result() == 1

    async def test_it_cancels_what_runs_and_keeps_what_is_done(self, make_engine: MakeEngine):
        told: list[str] = []
        pipe = Pipeline("pipe", input=int, output=int, timeout=0.6)

        @pipe.step
        async def quick(number: int) -> int:
            return number

        @pipe.step
        async def hang(quick: int, ctx: StepContext) -> int:
            assert ctx.remaining() <= timedelta(seconds=0.6)
            try:
                await asyncio.Event().wait()
            finally:
                told.append("told")
            return quick

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 1)
            await engine.run_until_empty()
            assert (await engine.job(job)).cause == "job_timeout"
            assert [row.step for row in await engine.steps(job)] == ["quick"]
        assert told == ["told"]


class TestDeadline:
    async def test_a_job_whose_deadline_passed_never_starts(self, make_engine: MakeEngine):
        ran: list[int] = []
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        async def work(number: int) -> int:
            ran.append(number)
            return number

        async with make_engine([pipe]) as engine:
            late = await engine.submit(pipe, 1, deadline=timedelta(minutes=5))
            in_time = await engine.submit(pipe, 2, deadline=timedelta(minutes=15))
            await engine.move_clock(timedelta(minutes=10))
            async with engine.worker():
                assert await in_time.result(timeout=5) == 2
                await eventually(lambda: has_failed(late))
            row = await engine.job(late)
            assert row.cause == "deadline_exceeded"
        assert ran == [2]

    async def test_no_claim_takes_a_job_whose_deadline_passed(self, make_engine: MakeEngine):
        """However long the next sweep is away: it is an hour here."""
        ran: list[int] = []
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        async def work(number: int) -> int:
            ran.append(number)
            return number

        rare = replace(Timing().scaled(1 / 15), sweep=timedelta(hours=1))
        async with make_engine([pipe]) as engine, engine.worker(timing=rare):
            assert (
                await (await engine.submit(pipe, 1)).result(timeout=5) == 1
            )  # the first sweep is over
            await engine.app.pause_queue("default")
            late = await engine.submit(pipe, 2, deadline=timedelta(minutes=5))
            await engine.move_clock(timedelta(minutes=10))
            await engine.app.resume_queue("default")
            assert await (await engine.submit(pipe, 3)).result(timeout=5) == 3
            assert (await late.status()).state is JobState.QUEUED
        assert ran == [1, 3]

    async def test_it_cancels_what_runs(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        async def hang(number: int) -> int:
            await asyncio.Event().wait()
            return number

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 1, deadline=timedelta(seconds=1))
            await engine.run_until_empty()
            row = await engine.job(job)
            assert (row.state, row.cause) == (JobState.FAILED, "deadline_exceeded")


async def has_failed(job: object) -> bool:
    return (await job.status()).state is JobState.FAILED  # type: ignore[attr-defined]


class TestDefaults:
    async def test_the_settings_limit_steps_and_jobs_that_say_nothing(
        self, make_engine: MakeEngine
    ):
        seen: list[timedelta] = []
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        async def work(number: int, ctx: StepContext) -> int:
            seen.append(ctx.remaining())
            return number

        settings = Settings(step_timeout_s=100, job_timeout_s=90)
        async with make_engine([pipe], settings=settings) as engine:
            await engine.submit(pipe, 1)
            await engine.run_until_empty()
        assert timedelta(seconds=80) < seen[0] <= timedelta(seconds=90)
