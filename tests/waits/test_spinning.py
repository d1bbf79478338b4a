"""A job that waits in place costs nothing meanwhile, and no longer than it has to."""

import asyncio
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from time import monotonic
from types import FrameType, FunctionType
from uuid import UUID

from headrace import JobHandle, Pipeline, Signal, StepContext
from headrace.store.sql import SQL
from headrace.worker.executor import Executor
from tests.engine.conftest import MakeEngine
from tests.waiting import eventually
from tests.waits.looking import children_of, rows_of, until_waiting

LONG = timedelta(days=3)
SOON = timedelta(seconds=0.5)

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


@contextmanager
def counted(function: FunctionType) -> Iterator[Counter[str]]:
    """How often a function is called in this thread."""
    calls: Counter[str] = Counter()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code is function.__code__:
            calls[function.__name__] += 1

    sys.setprofile(note)
    try:
        yield calls
    finally:
        sys.setprofile(None)


class TestAnOutage:
    async def test_a_wait_that_is_over_meanwhile_is_not_looked_at_again_and_again(
        self, make_engine: MakeEngine
    ) -> None:
        async with make_engine([brief]) as engine:
            patient = replace(engine.timing, wait_in_place=timedelta(hours=1))
            async with engine.worker(timing=patient) as worker:
                job = await engine.submit(brief, 1)
                await eventually(lambda: rows_of(engine, "waits", job))
                life = worker.worker.life
                assert life is not None
                life.executor.halt("unreachable")
                over = monotonic() + SOON.total_seconds()
                await eventually(lambda: monotonic() > over)
                with counted(Executor.advance) as calls:
                    for _ in range(1_000):  # in each of which it might look
                        await asyncio.sleep(0)
                assert calls["advance"] < 10
                life.executor.resume()
                assert await job.result(timeout=20) == 1


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
