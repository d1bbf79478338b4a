"""Child jobs: steps that end when another job does."""

from headrace import Each, JobHandle, Pipeline, StepContext
from tests.engine.conftest import MakeEngine


def double() -> Pipeline[int, int]:
    pipe = Pipeline("double", input=int, output=int)

    @pipe.step
    async def calculate(number: int) -> int:
        return 2 * number

    return pipe


class TestAStepThatReturnsAChild:
    async def test_its_output_is_the_result_of_the_child(self, make_engine: MakeEngine):
        child, pipe = double(), Pipeline("parent", input=int, output=str)

        @pipe.step
        async def ask(number: int, ctx: StepContext) -> JobHandle[int]:
            return await ctx.submit(child, number)

        @pipe.step
        async def tell(ask: int) -> str:
            return f"twice is {ask}"

        async with make_engine([child, pipe]) as engine, engine.worker():
            job = await engine.submit(pipe, 4)
            assert await job.result(timeout=20) == "twice is 8"

    async def test_each_item_has_a_child_of_its_own(self, make_engine: MakeEngine):
        child, pipe = double(), Pipeline("parent", input=int, output=int)

        @pipe.step
        async def spread(number: int) -> list[int]:
            return list(range(number))

        @pipe.step
        async def ask(ctx: StepContext, one: int = Each(spread)) -> JobHandle[int]:
            return await ctx.submit(child, one)

        @pipe.step
        async def gather(ask: list[int]) -> int:
            return sum(ask)

        async with make_engine([child, pipe]) as engine, engine.worker():
            job = await engine.submit(pipe, 30)
            assert await job.result(timeout=30) == 30 * 29
