"""Tries, their waits, and what becomes of the job meanwhile."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from time import monotonic

import pytest

from headrace import (
    Each,
    JobState,
    PermanentError,
    Pipeline,
    Retry,
    RetryAfter,
    StepContext,
    Transaction,
    UserError,
)
from headrace.testing import EventRow
from headrace.worker.timing import Timing
from tests.engine.conftest import MakeEngine
from tests.waiting import eventually

SCALED = Timing().scaled(1 / 15)
HOUR = timedelta(hours=1)


def went_back(events: list[EventRow]) -> list[str]:
    return [event.reason for event in events if event.to_state == "queued"][1:]


class TestDelays:
    async def test_each_wait_is_stored_and_grows_by_the_factor(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step(retry=Retry(attempts=4, first=10, factor=3, most=60, jitter=0))
        async def fail(number: int) -> int:
            raise RuntimeError(f"{number}")

        async with make_engine([pipe]) as engine:
            begun = monotonic()
            job = await engine.submit(pipe, 1)
            await engine.run_until_empty(skip_waits=True)
            lasted = monotonic() - begun
            tries = await engine.tries(job)
            # The clock that `due_at` is of runs ahead by what was skipped before it.
            offsets = [timedelta(), timedelta(seconds=10), timedelta(seconds=40)]
            waits = [
                (tried.due_at - tried.failed_at - offset).total_seconds()
                for tried, offset in zip(tries[:3], offsets, strict=True)
                if tried.due_at is not None
            ]
            assert waits == pytest.approx([10, 30, 60], abs=lasted)
            assert tries[3].due_at is None
            row = await engine.job(job)
            assert (row.state, row.cause) == (JobState.FAILED, "attempts_exhausted")

    async def test_the_due_time_survives_the_worker(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step(retry=Retry(first=600, most=600, jitter=0))
        async def fail_once(number: int, ctx: StepContext) -> int:
            if ctx.attempt == 1:
                raise RuntimeError
            return number

        async with make_engine([pipe]) as engine:
            begun = monotonic()
            job = await engine.submit(pipe, 1)
            async with engine.worker():
                await eventually(lambda: engine.tries(job))
                await eventually(lambda: state_is(job, JobState.QUEUED))
            lasted = timedelta(seconds=monotonic() - begun)
            waiting = await engine.job(job)
            assert waiting.wait_reason == "retry"
            [tried] = await engine.tries(job)
            assert tried.due_at is not None
            assert abs(waiting.due_at - tried.due_at) < lasted
            async with engine.worker():
                await engine.move_clock(timedelta(minutes=9))
                assert (await engine.job(job)).state is JobState.QUEUED
                await engine.move_clock(timedelta(minutes=2))
                assert await job.result(timeout=5) == 1


async def state_is(job: object, state: JobState) -> bool:
    return (await job.status()).state is state  # type: ignore[attr-defined]


class TestRetryAfter:
    async def test_it_waits_as_long_as_was_asked_and_uses_no_attempt(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step(retry=Retry(attempts=2, first=1, jitter=0))
        async def limited(number: int, ctx: StepContext) -> int:
            if ctx.attempt <= 4:
                raise RetryAfter(90, "the quota is empty")
            if ctx.attempt == 5:
                raise RuntimeError
            return number

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 7)
            await engine.run_until_empty(skip_waits=True)
            assert await job.result() == 7
            tries = await engine.tries(job)
            assert [tried.kind for tried in tries] == ["rate_limited"] * 4 + ["unknown"]
            assert tries[0].message == "the quota is empty"
            assert tries[0].due_at is not None
            wait = tries[0].due_at - tries[0].failed_at
            assert abs(wait - timedelta(seconds=90)) < timedelta(seconds=1)
            assert went_back(await engine.events(job)) == ["rate_limited"] * 4 + ["retry"]

    async def test_waiting_without_attempts_ends_at_the_limit_of_all_waits(
        self, make_engine: MakeEngine
    ):
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        async def never(number: int) -> int:
            raise RetryAfter(HOUR, f"{number}")

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 1)
            await engine.run_until_empty(timeout=20, skip_waits=True)
            row = await engine.job(job)
            assert (row.state, row.cause) == (JobState.FAILED, "wait_limit")
            assert len(await engine.tries(job)) == 25


class TestNoRetry:
    @pytest.mark.parametrize(
        ("error", "kind"),
        [
            (PermanentError("no such page"), "permanent"),
            (UserError("the file is empty"), "user"),
            (KeyError("unless"), "permanent"),
        ],
        ids=["PermanentError", "UserError", "a type in unless"],
    )
    async def test_the_job_fails_at_the_first_try(
        self, make_engine: MakeEngine, error: Exception, kind: str
    ):
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step(retry=Retry(attempts=5, unless=(LookupError,)))
        async def fail(number: int) -> int:  # noqa: ARG001
            raise error

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 1)
            await engine.run_until_empty()
            row = await engine.job(job)
            assert (row.state, row.cause) == (JobState.FAILED, "permanent_error")
            [tried] = await engine.tries(job)
            assert (tried.kind, tried.due_at) == (kind, None)

    async def test_a_failed_validation_in_a_step_is_permanent(self, make_engine: MakeEngine):
        from pydantic import TypeAdapter  # noqa: PLC0415 - its only use

        pipe = Pipeline("pipe", input=str, output=int)

        @pipe.step
        async def parse(text: str) -> int:
            return TypeAdapter(int).validate_python(text)

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, "seven")
            await engine.run_until_empty()
            [tried] = await engine.tries(job)
            assert (tried.code, tried.due_at) == ("VALIDATION_ERROR", None)


class TestTracebacks:
    async def test_the_last_lines_of_the_traceback_are_kept(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step(retry=Retry(attempts=1))
        async def fail(number: int) -> int:
            raise RuntimeError("with a zero \0 inside" + "x" * number)

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 100_000)
            await engine.run_until_empty()
            [tried] = await engine.tries(job)
            assert tried.detail is not None
            assert len(tried.detail) <= 20_100
            assert (await engine.job(job)).state is JobState.FAILED


async def save_part(part: int) -> int:
    return part


async def save_part_in_transaction(tx: Transaction, part: int) -> int:
    await tx.execute("select 1")
    return part


class TestBudget:
    @pytest.mark.parametrize("save", [save_part, save_part_in_transaction])
    async def test_it_starts_anew_after_a_once_record(
        self, make_engine: MakeEngine, save: Callable[..., Awaitable[int]]
    ):
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step(retry=Retry(attempts=2, first=5, jitter=0))
        async def parts(number: int, ctx: StepContext) -> int:
            for part in range(number):
                await ctx.once(f"part {part}", save, part)
                if ctx.attempt == part + 1:
                    raise RuntimeError(f"after part {part}")
            return number

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 4)
            await engine.run_until_empty(skip_waits=True)
            assert await job.result() == 4
            assert len(await engine.tries(job)) == 4

    async def test_failures_before_a_record_are_forgotten_for_good(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=int)

        async def save(part: int) -> int:
            return part

        @pipe.step(retry=Retry(attempts=3, first=5, jitter=0))
        async def work(number: int, ctx: StepContext) -> int:
            if ctx.attempt == 2:
                await ctx.once("only", save, number)
            if ctx.attempt <= 3:  # one failure before the record, two after it
                raise RuntimeError
            return number

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 4)
            await engine.run_until_empty(skip_waits=True)
            assert await job.result() == 4

    async def test_without_new_records_it_is_used_up_across_claims(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=int)

        async def save(part: int) -> int:
            return part

        @pipe.step(retry=Retry(attempts=3, first=5, jitter=0))
        async def stuck(number: int, ctx: StepContext) -> int:
            await ctx.once("only", save, number)
            raise RuntimeError

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 1)
            await engine.run_until_empty(skip_waits=True)
            assert (await engine.job(job)).cause == "attempts_exhausted"
            assert len(await engine.tries(job)) == 3

    async def test_each_item_has_its_own(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=list[str])

        @pipe.step(retry=Retry(attempts=2, first=5, jitter=0))
        async def work(number: int, ctx: StepContext, item: str = Each(("a", "b", "c"))) -> str:
            if ctx.attempt == number:
                raise RuntimeError(item)
            return item

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 1)
            await engine.run_until_empty(skip_waits=True)
            assert await job.result() == ["a", "b", "c"]
            assert len(await engine.tries(job)) == 3


class TestTimeouts:
    async def test_they_are_retried_twice_the_first_after_two_seconds(
        self, make_engine: MakeEngine
    ):
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step(timeout=0.05, retry=Retry(attempts=10, first=0.1, jitter=0))
        async def hang(number: int) -> int:
            await asyncio.Event().wait()
            return number

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 1)
            await engine.run_until_empty(skip_waits=True)
            row = await engine.job(job)
            assert (row.state, row.cause) == (JobState.FAILED, "step_timeout")
            tries = await engine.tries(job)
            assert [tried.kind for tried in tries] == ["timeout"] * 3
            assert tries[0].due_at is not None
            assert tries[0].due_at - tries[0].failed_at >= timedelta(seconds=1.9)


class TestStorm:
    async def test_jobs_that_fail_for_ever_do_not_starve_the_others(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step(retry=Retry(attempts=3, first=0.2, jitter=0.5))
        async def work(number: int) -> int:
            if number < 40:
                raise RuntimeError(f"{number}")
            return number

        numbers = list(range(80))
        random.Random(7).shuffle(numbers)  # noqa: S311 - the same order each time
        async with make_engine([pipe]) as engine:
            jobs = await engine.submit_many(pipe, numbers)
            await engine.run_until_empty(timeout=20, concurrency=4)
            states = {
                number: (await engine.job(job)).state
                for number, job in zip(numbers, jobs, strict=True)
            }
            assert {n for n, state in states.items() if state is JobState.FAILED} == set(range(40))
            async with engine.connection() as connection:
                dead = await connection.fetchval("select count(*) from headrace.dead_letters")
        assert dead == 40
