"""What steps say, and do not say, of the jobs that they submit."""

import pytest

from headrace import JobHandle, Pipeline, StepContext
from headrace.errors import JobFailedError
from tests.engine.conftest import MakeEngine
from tests.waits.looking import children_of

leaf = Pipeline("leaf", input=int, output=int)
parent = Pipeline("parent", input=int, output=int)
telling = Pipeline("telling", input=dict[str, str], output=int)


@leaf.step
async def echo(number: int) -> int:
    return number


@parent.step
async def ask(number: int, ctx: StepContext) -> JobHandle[int]:
    return await ctx.submit(leaf, number)


@parent.step
async def beside(ask: int, ctx: StepContext) -> int:
    await ctx.submit(leaf, ask + 1)
    await ctx.submit(leaf, ask + 2, priority=2)
    return ask


@telling.step
async def ask_with(options: dict[str, str], ctx: StepContext) -> JobHandle[int]:
    return await ctx.submit(leaf, 1, **options)  # type: ignore[arg-type]  # the mistake


class TestPriority:
    async def test_it_is_that_of_the_job_where_the_step_names_none(
        self, make_engine: MakeEngine
    ) -> None:
        async with make_engine([leaf, parent]) as engine, engine.worker():
            job = await engine.submit(parent, 1, priority="high")
            assert await job.result(timeout=20) == 1
            made = [await engine.job(one) for one in await children_of(engine, job)]
            assert sorted(one.priority for one in made) == [2, 9, 9]


class TestOptions:
    @pytest.mark.parametrize("option", ["tenant", "owner", "parent", "idempotency_key"])
    async def test_whose_job_it_is_and_under_which_key_is_not_the_steps_to_say(
        self, make_engine: MakeEngine, option: str
    ) -> None:
        """Two parents would wait for one child, whose end wakes the first."""
        async with make_engine([leaf, telling]) as engine, engine.worker():
            job = await engine.submit(telling, {option: "mill"})
            with pytest.raises(JobFailedError, match=f"{option}: a step gives none"):
                await job.result(timeout=20)
            assert await children_of(engine, job) == []
