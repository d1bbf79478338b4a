"""Parents and children with ordering keys: none waits for what comes behind it."""

import pytest

from headrace import JobHandle, Pipeline, StepContext
from headrace.errors import JobFailedError
from tests.engine.conftest import MakeEngine

leaf = Pipeline("leaf", input=str, output=str)
parent = Pipeline("parent", input=str, output=str)
top = Pipeline("top", input=str, output=str)


@leaf.step
async def echo(key: str) -> str:
    return key


@parent.step
async def ask(key: str, ctx: StepContext) -> JobHandle[str]:
    return await ctx.submit(leaf, key, ordering_key=key)


owned_leaf = Pipeline("owned_leaf", input=str, output=str, ordered_by="owner")
owned = Pipeline("owned", input=str, output=str, ordered_by="owner")


@owned_leaf.step
async def echo_owned(key: str) -> str:
    return key


@owned.step
async def ask_owned(key: str, ctx: StepContext) -> JobHandle[str]:
    return await ctx.submit(owned_leaf, key, ordering_key=key or None)


@top.step
async def ask_parent(key: str, ctx: StepContext) -> JobHandle[str]:
    return await ctx.submit(parent, key)


class TestAChildWithAnOrderingKey:
    @pytest.mark.parametrize("pipe", [parent, top], ids=["its parent's", "that of one above"])
    async def test_that_of_a_job_that_waits_for_it_is_refused(
        self, make_engine: MakeEngine, pipe: Pipeline[str, str]
    ) -> None:
        async with make_engine([leaf, parent, top]) as engine, engine.worker():
            job = await engine.submit(pipe, "mill", ordering_key="mill")
            with pytest.raises(JobFailedError, match="the child would never start"):
                await job.result(timeout=30)

    async def test_another_one_is_waited_for(self, make_engine: MakeEngine) -> None:
        async with make_engine([leaf, parent, top]) as engine, engine.worker():
            jobs = [await engine.submit(top, "race", ordering_key="mill") for _ in range(2)]
            assert [await job.result(timeout=30) for job in jobs] == ["race", "race"]


class TestAChildInTheLineOfItsOwner:
    async def test_it_is_refused_where_its_parent_stands_there(
        self, make_engine: MakeEngine
    ) -> None:
        async with make_engine([owned_leaf, owned]) as engine, engine.worker():
            job = await engine.submit(owned, "", owner="miller")
            with pytest.raises(JobFailedError, match="the child would never start"):
                await job.result(timeout=30)

    async def test_it_may_stand_in_another_one(self, make_engine: MakeEngine) -> None:
        async with make_engine([owned_leaf, owned]) as engine, engine.worker():
            job = await engine.submit(owned, "race", owner="miller")
            assert await job.result(timeout=30) == "race"
