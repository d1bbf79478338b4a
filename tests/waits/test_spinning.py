"""A job that waits in place costs nothing meanwhile, and no longer than it has to."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from headrace import JobHandle, Pipeline, Signal, StepContext
from headrace.store.sql import SQL
from headrace.worker.engine import Limits
from headrace.worker.executor import Executor
from headrace.worker.run import JobRun
from headrace.worker.settling import Policy
from headrace.worker.timing import Timing
from tests.engine.conftest import MakeEngine
from tests.waits.looking import children_of, until_waiting
from tests.worker.process_bench import claim_of

LONG = timedelta(days=3)
SOON = timedelta(seconds=0.001)

brief = Pipeline("brief", input=int, output=int)
leaf = Pipeline("leaf", input=int, output=int)
parent = Pipeline("parent", input=int, output=int)


@brief.step(delay=SOON)
async def later(number: int) -> int:
    return number


@leaf.step
async def answer(number: int, word: int = Signal(timeout=LONG)) -> int:
    return number + word


@parent.step
async def ask(number: int, ctx: StepContext) -> JobHandle[int]:
    return await ctx.submit(leaf, number)


@parent.step
async def tell(ask: int, last: int = Signal(timeout=LONG)) -> int:
    return ask + last


class Counting(Executor):
    """Counts how often it looks at a job."""

    looks = 0

    def advance(self, run: JobRun) -> None:
        self.looks += 1
        super().advance(run)


@pytest.fixture
async def executor() -> Counting:
    """One whose ledger stores nothing."""
    engine: Any = SimpleNamespace(
        loop=asyncio.get_running_loop(), worker=1, timing=Timing(), limits=Limits()
    )
    ledger: Any = SimpleNamespace(write=lambda _: None)
    return Counting(engine, ledger, Policy(60.0, 60.0, lambda: 0.0))


class TestAnOutage:
    async def test_a_wait_that_is_over_meanwhile_is_not_looked_at_again_and_again(
        self, executor: Counting
    ) -> None:
        number: Any = 1
        run = executor.begin(claim_of(brief, number))
        executor.advance(run)
        run.in_flight = None
        executor.halt("unreachable")
        executor.advance(run)
        await asyncio.sleep(2 * SOON.total_seconds())
        for _ in range(1_000):
            await asyncio.sleep(0)
        assert executor.looks < 10
        run.dead = True


class TestATryAfterTheChildWasSubmitted:
    async def test_its_time_keeps_no_job_in_its_slot(self, make_engine: MakeEngine) -> None:
        async with make_engine([leaf, parent]) as engine:
            async with engine.worker():
                job = await engine.submit(parent, 1)
                await until_waiting(job, "child")
                (made,) = await children_of(engine, job)
                await until_waiting(engine.app.job(made), "external")
                async with engine.connection() as connection:
                    await connection.execute(
                        SQL["ledger.insert_tries"],
                        [UUID(job.id)], [1], ["ask"], [""], [1], 1, [1], [1], ["unknown"],
                        ["OSError"], ["the result could not be kept"], [None], [600.0],
                    )  # fmt: skip
            patient = replace(engine.timing, wait_in_place=timedelta(hours=1))
            async with engine.worker(timing=patient):
                assert await engine.app.send(made, "word", 1)
                await until_waiting(job, "external")
                assert await job.send("last", 1)
                assert await job.result(timeout=20) == 3
