"""Steps that start some time after their inputs are there."""

from datetime import timedelta

from headrace import Pipeline
from tests.engine.conftest import MakeEngine
from tests.waiting import eventually


class TestADelay:
    async def test_the_step_starts_that_long_after_its_inputs_are_there(
        self, make_engine: MakeEngine
    ):
        pipe = Pipeline("later", input=int, output=int)

        @pipe.step
        async def first(number: int) -> int:
            return number + 1

        @pipe.step(delay=timedelta(days=2))
        async def second(first: int) -> int:
            return first + 1

        async with make_engine([pipe]) as engine, engine.worker():
            job = await engine.submit(pipe, 1)

            async def waits() -> bool:
                return (await job.status()).wait_reason == "delay"

            await eventually(waits)
            await engine.move_clock(timedelta(days=1, hours=23))
            assert (await job.status()).wait_reason == "delay"
            await engine.move_clock(timedelta(hours=2))
            assert await job.result(timeout=20) == 3
