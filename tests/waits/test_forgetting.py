"""What is stored of waits is deleted with the rest of a job, and not otherwise."""

from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from headrace import JobHandle, Pipeline, Signal, StepContext
from headrace.store.erasure import erase_job
from headrace.store.retention import RetentionPass, RetentionRules
from headrace.testing import Engine
from tests.engine.conftest import MakeEngine
from tests.waits.looking import bound_children, children_of, rows_of, until_waiting

LONG = timedelta(days=3)
RULES = RetentionRules(jobs=timedelta(days=30), checkpoints=timedelta(days=7))
TABLES = ("signals", "waits")

leaf = Pipeline("leaf", input=int, output=int)
parent = Pipeline("parent", input=int, output=int)


@leaf.step
async def grow(number: int, answer: int = Signal(timeout=LONG)) -> int:
    return number + answer


@parent.step
async def ask(number: int, ctx: StepContext, secret: int = Signal(timeout=LONG)) -> JobHandle[int]:
    return await ctx.submit(leaf, number + secret)


async def ended(engine: Engine) -> JobHandle[int]:
    """A parent that got its signal, and whose child did."""
    job = await engine.submit(parent, 1)
    assert await job.send("secret", 4_711)
    await until_waiting(job, "child")
    (made,) = await children_of(engine, job)
    assert await engine.app.send(made, "answer", 1)
    assert await job.result(timeout=20) == 4_713
    return job


async def counts(engine: Engine, job: JobHandle[int]) -> list[int]:
    return [len(await rows_of(engine, table, job)) for table in TABLES]


class TestRetention:
    async def test_values_go_with_the_outputs_of_a_completed_job(
        self, make_engine: MakeEngine
    ) -> None:
        async with make_engine([parent, leaf]) as engine:
            async with engine.worker():
                job = await ended(engine)
            assert await counts(engine, job) == [1, 1]
            await engine.move_clock(timedelta(days=8))
            async with engine.connection() as connection:
                walk = RetentionPass(RULES)
                while await walk.advance(connection):
                    pass
            assert await counts(engine, job) == [0, 0]
            assert await engine.job(job)

    async def test_nothing_is_left_of_a_job_that_is_deleted(self, make_engine: MakeEngine) -> None:
        async with make_engine([parent, leaf]) as engine:
            async with engine.worker():
                job = await engine.submit(parent, 1)
                assert await job.send("secret", 1)
                await until_waiting(job, "child")
                await job.cancel()
            await engine.move_clock(timedelta(days=31))
            async with engine.connection() as connection:
                walk = RetentionPass(RetentionRules(jobs=RULES.jobs, checkpoints=timedelta(90)))
                while await walk.advance(connection):
                    pass
                for table in (*TABLES, "children"):
                    query = f"select count(*) from headrace.{table}"  # noqa: S608 - above
                    assert await connection.fetchval(query) == 0


class TestErasure:
    async def test_no_value_is_left(self, make_engine: MakeEngine) -> None:
        async with make_engine([parent, leaf]) as engine:
            async with engine.worker():
                job = await ended(engine)
            async with engine.connection() as connection:
                await erase_job(connection, UUID(job.id))
            assert await counts(engine, job) == [0, 0]


class TestClear:
    async def test_it_takes_what_waits_with_what_is_stored_of_it(
        self, make_engine: MakeEngine
    ) -> None:
        async with make_engine([parent, leaf]) as engine:
            async with engine.worker():
                job = await engine.submit(parent, 1)
                assert await job.send("secret", 1)
                await until_waiting(job, "child")
                (made,) = await children_of(engine, job)
                await until_waiting(engine.app.job(made), "external")
            assert await engine.clear() == 2
            assert await counts(engine, job) == [0, 0]
            assert await bound_children(engine) == []


class TestEvidence:
    @pytest.mark.parametrize(
        "statement",
        [
            "update headrace.signals set value = '2'",
            "delete from headrace.signals",
            "update headrace.waits set due_at = null",
            "delete from headrace.waits",
        ],
    )
    async def test_nothing_else_changes_or_deletes_it(
        self, make_engine: MakeEngine, statement: str
    ) -> None:
        async with make_engine([leaf]) as engine, engine.connection() as connection:
            with pytest.raises(asyncpg.PostgresError, match=r"refuse|never|only"):
                await connection.execute(statement)


class TestRunUntilEmpty:
    async def test_jobs_that_wait_for_a_signal_are_nothing_to_do(
        self, make_engine: MakeEngine
    ) -> None:
        async with make_engine([parent, leaf]) as engine:
            job = await engine.submit(parent, 1)
            await engine.run_until_empty(30)
            assert (await job.status()).wait_reason == "external"
            assert await job.send("secret", 1)
            await engine.run_until_empty(30)
            assert (await job.status()).wait_reason == "child"
            (made,) = await children_of(engine, job)
            assert await engine.app.send(made, "answer", 1)
            await engine.run_until_empty(30)
            assert await job.result(timeout=10) == 3

    async def test_skipping_waits_skips_delays_and_the_times_of_signals(
        self, make_engine: MakeEngine
    ) -> None:
        pipe = Pipeline("slow", input=int, output=str)

        @pipe.step(delay=timedelta(days=2))
        async def later(number: int) -> int:
            return number

        @pipe.step
        async def asked(later: int, answer: int | None = Signal(timeout=LONG)) -> str:
            return f"{later} {answer}"

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 1)
            await engine.run_until_empty(30, skip_waits=True)
            assert await job.result(timeout=10) == "1 None"

    async def test_a_delay_is_told_as_what_is_left(self, make_engine: MakeEngine) -> None:
        pipe = Pipeline("slow", input=int, output=int)

        @pipe.step(delay=timedelta(days=2))
        async def later(number: int) -> int:
            return number

        async with make_engine([pipe]) as engine, engine.worker():
            await until_waiting(await engine.submit(pipe, 1), "delay")
            with pytest.raises(TimeoutError, match=r"waits for another 17\d+\.\d s \(delay\)"):
                await engine.run_until_empty(0.1)
