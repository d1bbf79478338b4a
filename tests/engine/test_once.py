"""Checkpoints inside a step."""

from dataclasses import dataclass

import asyncpg
import pytest

from headrace import (
    Each,
    JobState,
    PermanentError,
    Pipeline,
    Retry,
    StepContext,
    SyncContext,
    Transaction,
)
from headrace.errors import JobFailedError
from tests.engine.conftest import MakeEngine

AGAIN = Retry(attempts=3, first=5, jitter=0)


class Calls(list[str]):
    """What was really called."""


@dataclass
class Answer:
    """What a paid call returns."""

    text: str


class TestRecords:
    async def test_one_is_committed_before_the_step_goes_on(self, make_engine: MakeEngine):
        seen: list[object] = []
        pipe = Pipeline("pipe", input=int, output=int)

        async def pay(number: int) -> Answer:
            return Answer(f"paid {number}")

        @pipe.step
        async def work(number: int, ctx: StepContext) -> int:
            await ctx.once("payment", pay, number)
            seen.extend((row.name, row.output) for row in await engine.records(ctx.job_id))
            return number

        async with make_engine([pipe]) as engine:
            await engine.submit(pipe, 7)
            await engine.run_until_empty()
        assert seen == [("payment", {"text": "paid 7"})]

    async def test_a_retried_step_gets_it_back_without_the_call(self, make_engine: MakeEngine):
        calls = Calls()
        pipe = Pipeline("pipe", input=int, output=str)

        async def pay(number: int) -> Answer:
            calls.append("pay")
            return Answer(f"paid {number}")

        @pipe.step(retry=AGAIN)
        async def work(number: int, ctx: StepContext) -> str:
            answer = await ctx.once("payment", pay, number)
            assert type(answer) is Answer
            if ctx.attempt < 3:
                raise RuntimeError
            return answer.text

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 7)
            await engine.run_until_empty(skip_waits=True)
            assert await job.result() == "paid 7"
        assert calls == ["pay"]

    async def test_a_call_that_fails_leaves_no_record(self, make_engine: MakeEngine):
        calls = Calls()
        pipe = Pipeline("pipe", input=int, output=int)

        async def pay(number: int) -> int:
            calls.append("pay")
            if len(calls) == 1:
                raise ConnectionError
            return number

        @pipe.step(retry=AGAIN)
        async def work(number: int, ctx: StepContext) -> int:
            return await ctx.once("payment", pay, number)

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 7)
            await engine.run_until_empty(skip_waits=True)
            assert await job.result() == 7
        assert calls == ["pay", "pay"]

    async def test_it_outlives_the_process(self, make_engine: MakeEngine):
        async with make_engine([paying]) as engine:
            job = await engine.submit(paying, 7)
            await engine.crash_at("attempt.after_effect", app=f"{__name__}:paying")
            [record] = await engine.records(job)
            await engine.run_until_empty()
            assert await job.result() == record.output
            assert await engine.records(job) == [record]

    async def test_each_item_has_its_own_under_the_same_name(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=list[int])

        async def pay(number: int) -> int:
            return number

        @pipe.step
        async def work(number: int, ctx: StepContext, item: int = Each((1, 2))) -> int:
            return await ctx.once("payment", pay, number * item)

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 10)
            await engine.run_until_empty()
            assert await job.result() == [10, 20]
            assert sorted(row.output for row in await engine.records(job)) == [10, 20]

    async def test_a_plain_step_keeps_them_too(self, make_engine: MakeEngine):
        calls = Calls()
        pipe = Pipeline("pipe", input=int, output=int)

        def pay(number: int) -> int:
            calls.append("pay")
            return number

        @pipe.step(retry=AGAIN)
        def work(number: int, ctx: SyncContext) -> int:
            paid = ctx.once("payment", pay, number)
            if ctx.attempt == 1:
                raise RuntimeError
            return paid

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 7)
            await engine.run_until_empty(skip_waits=True)
            assert await job.result() == 7
        assert calls == ["pay"]

    async def test_what_comes_back_is_the_stored_form(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=bool)
        made: list[Answer] = []

        async def pay(number: int) -> Answer:
            made.append(Answer(f"{number}"))
            return made[0]

        @pipe.step
        async def work(number: int, ctx: StepContext) -> bool:
            return await ctx.once("payment", pay, number) is made[0]

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 7)
            await engine.run_until_empty()
            assert await job.result() is False


paying = Pipeline("paying", input=int, output=str)


async def unique(number: int) -> str:
    import uuid  # noqa: PLC0415 - its only use

    return f"{number} {uuid.uuid4()}"


@paying.step
async def pay_once(number: int, ctx: StepContext) -> str:
    return await ctx.once("payment", unique, number)


class TestMistakes:
    async def test_a_name_that_is_used_twice_fails_the_job_at_once(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=int)

        async def pay(number: int) -> int:
            return number

        @pipe.step
        async def work(number: int, ctx: StepContext) -> int:
            await ctx.once("payment", pay, number)
            return await ctx.once("payment", pay, number)

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 7)
            await engine.run_until_empty()
            with pytest.raises(JobFailedError, match=r"permanent_error.*'payment'.*twice"):
                await job.result()

    async def test_a_function_without_a_return_annotation_fails_the_job_at_once(
        self, make_engine: MakeEngine
    ):
        pipe = Pipeline("pipe", input=int, output=int)

        async def pay(number: int):  # noqa: ANN202 - the mistake
            return number

        @pipe.step
        async def work(number: int, ctx: StepContext) -> int:
            return await ctx.once("payment", pay, number)

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 7)
            await engine.run_until_empty()
            with pytest.raises(JobFailedError, match=r"permanent_error.*return annotation"):
                await job.result()

    async def test_what_cannot_be_stored_is_refused_with_its_path(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=float)

        async def pay(_number: int) -> list[float]:
            return [1.0, float("nan")]

        @pipe.step
        async def work(number: int, ctx: StepContext) -> float:
            return sum(await ctx.once("payment", pay, number))

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 7)
            await engine.run_until_empty()
            with pytest.raises(JobFailedError, match=r"permanent_error.*\$\[1\]"):
                await job.result()
            assert await engine.records(job) == []


async def book(tx: Transaction, number: int) -> int:
    await tx.execute("insert into bookings values ($1)", number)
    return number


async def book_and_fail(tx: Transaction, number: int) -> int:
    await tx.execute("insert into bookings values ($1)", number)
    raise PermanentError("no")


async def make_bookings(connection: asyncpg.Connection) -> None:
    await connection.execute("create table bookings (number integer)")


class TestTransactions:
    async def test_sql_and_record_are_committed_together_and_once(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step(retry=AGAIN)
        async def work(number: int, ctx: StepContext) -> int:
            booked = await ctx.once("booking", book, number)
            if ctx.attempt == 1:
                raise RuntimeError
            return booked

        async with make_engine([pipe]) as engine:
            async with engine.connection() as connection:
                await make_bookings(connection)
            job = await engine.submit(pipe, 7)
            await engine.run_until_empty(skip_waits=True)
            assert await job.result() == 7
            async with engine.connection() as connection:
                assert await connection.fetchval("select count(*) from bookings") == 1
            assert [row.name for row in await engine.records(job)] == ["booking"]

    async def test_both_are_rolled_back_together(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        async def work(number: int, ctx: StepContext) -> int:
            return await ctx.once("booking", book_and_fail, number)

        async with make_engine([pipe]) as engine:
            async with engine.connection() as connection:
                await make_bookings(connection)
            job = await engine.submit(pipe, 7)
            await engine.run_until_empty()
            assert (await engine.job(job)).state is JobState.FAILED
            async with engine.connection() as connection:
                assert await connection.fetchval("select count(*) from bookings") == 0
            assert await engine.records(job) == []

    async def test_a_failing_record_rolls_the_sql_back(self, make_engine: MakeEngine):
        """The record is refused by the database: what was written with it goes as well."""
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step(retry=Retry(attempts=1))
        async def work(number: int, ctx: StepContext) -> int:
            return await ctx.once("booking", book, number)

        async with make_engine([pipe]) as engine:
            async with engine.connection() as connection:
                await make_bookings(connection)
                await connection.execute(
                    "alter table headrace.records add check (name <> 'booking')"
                )
            job = await engine.submit(pipe, 7)
            await engine.run_until_empty()
            assert (await engine.job(job)).state is JobState.FAILED
            async with engine.connection() as connection:
                assert await connection.fetchval("select count(*) from bookings") == 0
