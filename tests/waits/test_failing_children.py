"""What a parent shows of children that fail, are cancelled, do not fit, or end before it looks."""

from datetime import timedelta

import pytest

from headrace import (
    Each,
    ItemResult,
    JobHandle,
    PermanentError,
    Pipeline,
    Retry,
    Signal,
    StepContext,
    SyncContext,
)
from headrace.errors import JobFailedError
from headrace.settings import Settings
from headrace.testing import Engine
from tests.engine.conftest import MakeEngine
from tests.waits.looking import bound_children, children_of, until_waiting

LONG = timedelta(days=3)

picky = Pipeline("picky", input=int, output=int)
asking = Pipeline("asking", input=int, output=int)
several = Pipeline("several", input=int, output=list[str])


@picky.step
async def refuse_negative(number: int, ok: bool = Signal(timeout=LONG)) -> int:  # noqa: FBT001
    if number < 0 or not ok:
        raise PermanentError(f"{number} is nothing for us")
    return number


@asking.step
async def ask(number: int, ctx: StepContext) -> JobHandle[int]:
    return await ctx.submit(picky, number)


@asking.step
async def add(ask: int) -> int:
    return ask + 1


strict = Pipeline("strict", input=int, output=int)


@strict.step
async def check(number: int) -> int:
    if number < 0:
        raise PermanentError(f"{number} is below zero")
    return number


@several.step
async def spread(number: int) -> list[int]:
    return [-1, *range(number)]


@several.step
async def ask_each(ctx: StepContext, one: int = Each(spread, at_least=2)) -> JobHandle[int]:
    return await ctx.submit(strict, one)


@several.step
async def tell(ask_each: list[ItemResult[int]]) -> list[str]:
    return [f"{one.output}" if one.error is None else one.error.code for one in ask_each]


async def waiting(engine: Engine) -> tuple[JobHandle[int], str]:
    """A parent that waits, and the id of its child."""
    job = await engine.submit(asking, 1)
    await until_waiting(job, "child")
    (made,) = await children_of(engine, job)
    return job, made


async def error_of(engine: Engine, job: JobHandle[object]) -> tuple[str, str, str | None]:
    """Code, message and step of a failed job."""
    with pytest.raises(JobFailedError):
        await job.result(timeout=20)
    error = (await engine.job(job)).error or {}
    return error["code"], error["message"], error["step"]


class TestAChildThatFails:
    async def test_its_step_fails_for_good_and_tells_which_child_and_why(
        self, make_engine: MakeEngine
    ) -> None:
        async with make_engine([picky, asking]) as engine, engine.worker():
            job, made = await waiting(engine)
            assert await engine.app.send(made, "ok", False)  # noqa: FBT003
            code, message, step = await error_of(engine, job)
            assert (code, step) == ("CHILD_FAILED", "ask")
            assert made in message
            assert "PERMANENT_ERROR" in message
            assert "1 is nothing for us" in message
            (tried,) = await engine.tries(job)
            assert tried.code == "CHILD_FAILED"

    async def test_one_that_somebody_cancels_says_so(self, make_engine: MakeEngine) -> None:
        async with make_engine([picky, asking]) as engine, engine.worker():
            job, made = await waiting(engine)
            await engine.app.cancel(made)
            code, message, _ = await error_of(engine, job)
            assert code == "CHILD_CANCELLED"
            assert made in message

    async def test_of_items_some_may(self, make_engine: MakeEngine) -> None:
        async with make_engine([strict, several]) as engine, engine.worker():
            job = await engine.submit(several, 2)
            assert await job.result(timeout=30) == ["CHILD_FAILED", "0", "1"]

    async def test_of_items_too_many_fail_the_job(self, make_engine: MakeEngine) -> None:
        async with make_engine([strict, several]) as engine, engine.worker():
            job = await engine.submit(several, 1)
            with pytest.raises(JobFailedError):
                await job.result(timeout=30)


class TestWhatAStepReturns:
    async def test_a_job_of_another_type_is_refused(self, make_engine: MakeEngine) -> None:
        pipe = Pipeline("wrong", input=int, output=str)

        @pipe.step
        async def ask_for_text(number: int, ctx: StepContext) -> JobHandle[str]:
            return await ctx.submit(strict, number)  # type: ignore[return-value]  # the mistake

        async with make_engine([strict, pipe]) as engine, engine.worker():
            code, message, _ = await error_of(engine, await engine.submit(pipe, 1))
            assert code == "CHILD_TYPE"
            assert "strict" in message
            assert "int" in message

    async def test_a_job_that_another_step_submitted_is_refused(
        self, make_engine: MakeEngine
    ) -> None:
        pipe = Pipeline("foreign", input=str, output=int)

        @pipe.step
        async def ask_for_other(job: str, ctx: StepContext) -> JobHandle[int]:
            assert ctx.attempt == 1
            return engine.app.job(job)

        async with make_engine([strict, pipe]) as engine, engine.worker():
            other = await engine.submit(strict, 1)
            code, message, _ = await error_of(engine, await engine.submit(pipe, other.id))
            assert code == "CHILD_TYPE"
            assert other.id in message

    async def test_none_where_there_is_nothing_to_ask(self, make_engine: MakeEngine) -> None:
        pipe = Pipeline("perhaps", input=int, output=str)

        @pipe.step
        async def ask_if(number: int, ctx: StepContext) -> JobHandle[int] | None:
            return await ctx.submit(strict, number) if number else None

        @pipe.step
        async def say(ask_if: int | None) -> str:
            return f"{ask_if}"

        async with make_engine([strict, pipe]) as engine, engine.worker():
            assert await (await engine.submit(pipe, 0)).result(timeout=20) == "None"
            assert await (await engine.submit(pipe, 7)).result(timeout=20) == "7"

    async def test_one_of_two_children_is_the_steps(self, make_engine: MakeEngine) -> None:
        pipe = Pipeline("two", input=int, output=int)

        @pipe.step
        async def ask_two(number: int, ctx: StepContext) -> JobHandle[int]:
            first = await ctx.submit(strict, number, key="first")
            again = await ctx.submit(strict, number + 1, key="second")
            found = await ctx.submit(strict, number, key="first")
            assert found.id == first.id
            return again

        async with make_engine([strict, pipe]) as engine:
            job = await engine.submit(pipe, 1)
            await engine.run_until_empty(30)
            assert await job.result(timeout=10) == 2
            assert len(await children_of(engine, job)) == 2
            assert await bound_children(engine) == []

    async def test_a_plain_function_in_a_thread_may(self, make_engine: MakeEngine) -> None:
        pipe = Pipeline("plain", input=int, output=int)

        @pipe.step
        def ask_plainly(number: int, ctx: SyncContext) -> JobHandle[int]:
            return ctx.submit(strict, number)

        async with make_engine([strict, pipe]) as engine, engine.worker():
            assert await (await engine.submit(pipe, 3)).result(timeout=20) == 3


class TestWhenAChildEnds:
    async def test_one_that_ended_before_its_step_did_is_found(
        self, make_engine: MakeEngine
    ) -> None:
        pipe, calls = Pipeline("slow", input=int, output=int), []

        @pipe.step(retry=Retry(attempts=3, first=0.1))
        async def ask_slowly(number: int, ctx: StepContext) -> JobHandle[int]:
            handle = await ctx.submit(strict, number)
            calls.append(handle.id)
            await handle.result(timeout=20)
            if ctx.attempt == 1:
                raise RuntimeError("after its end")
            return handle

        async with make_engine([strict, pipe]) as engine, engine.worker():
            job = await engine.submit(pipe, 5)
            assert await job.result(timeout=20) == 5
            assert len(set(calls)) == 1
            assert len(calls) == 2

    async def test_a_large_result_is_kept_as_the_steps_own(self, make_engine: MakeEngine) -> None:
        large = Pipeline("large", input=int, output=str)
        pipe = Pipeline("copying", input=int, output=int)

        @large.step
        async def write(number: int) -> str:
            return "x" * number

        @pipe.step
        async def ask_for_it(number: int, ctx: StepContext) -> JobHandle[str]:
            return await ctx.submit(large, number)

        @pipe.step
        async def measure(ask_for_it: str) -> int:
            return len(ask_for_it)

        settings = Settings(checkpoint_max_bytes=65_536)
        async with make_engine([large, pipe], settings=settings) as engine, engine.worker():
            job = await engine.submit(pipe, 200_000)
            assert await job.result(timeout=20) == 200_000
            (row, _) = await engine.steps(job)
            assert row.artifact is not None
