"""A child that ends while somebody sends its parent a signal: the parent hears of it."""

from datetime import timedelta
from uuid import UUID

import pytest

from headrace import JobHandle, Pipeline, Signal, StepContext
from headrace.model.fate import Fate
from headrace.store.signalling import send_signal
from tests.engine.conftest import MakeEngine
from tests.waits.looking import children_of, until_state, until_waiting

LONG = timedelta(days=3)

leaf = Pipeline("leaf", input=int, output=int)
parent = Pipeline("parent", input=int, output=int)


@leaf.step
async def decide(number: int, word: int = Signal(timeout=LONG)) -> int:
    return number + word


@parent.step
async def ask(number: int, ctx: StepContext) -> JobHandle[int]:
    return await ctx.submit(leaf, number)


@parent.step
async def beside(number: int, first: int = Signal(timeout=LONG)) -> int:
    return number + first


@parent.step
async def total(ask: int, beside: int, later: int = Signal(timeout=LONG)) -> int:
    return ask + beside + later


class TestAParentThatIsSentSomething:
    @pytest.mark.parametrize("name", ["first", "later"])
    async def test_it_hears_of_a_child_that_ends_meanwhile(
        self, make_engine: MakeEngine, name: str
    ) -> None:
        async with make_engine([leaf, parent]) as engine, engine.worker():
            job = await engine.submit(parent, 1)
            await until_waiting(job, "external")
            await job.send("first", 10)
            await until_waiting(job, "child")
            (child,) = await children_of(engine, job)
            async with engine.connection() as connection, connection.transaction():
                fate = await send_signal(connection, UUID(job.id), name, "10", sender="a test")
                assert fate is (Fate.SAME if name == "first" else Fate.STORED)
                await engine.app.send(child, "word", 100)
                await until_state(engine.app.job(child), "completed")
            await job.send("later", 10)
            assert await job.result(timeout=20) == 122
