"""Signals: steps that wait for a value that somebody sends."""

from dataclasses import dataclass
from datetime import timedelta

from headrace import Pipeline, Signal, StepContext
from tests.engine.conftest import MakeEngine
from tests.waiting import eventually


@dataclass(frozen=True)
class Answer:
    ok: bool
    note: str = ""


def asking() -> Pipeline[int, str]:
    pipe = Pipeline("asking", input=int, output=str)

    @pipe.step
    async def prepare(number: int) -> int:
        return number + 1

    @pipe.step
    async def decide(prepare: int, answer: Answer = Signal(timeout=timedelta(days=3))) -> str:
        return f"{prepare} {answer.ok} {answer.note}"

    return pipe


class TestAValueThatIsSent:
    async def test_it_wakes_the_job_that_waits_for_it(self, make_engine: MakeEngine):
        pipe = asking()
        async with make_engine([pipe]) as engine, engine.worker():
            job = await engine.submit(pipe, 1)

            async def waits() -> bool:
                return (await job.status()).wait_reason == "external"

            await eventually(waits)
            assert await job.send("answer", Answer(ok=True, note="yes"))
            assert await job.result(timeout=20) == "2 True yes"

    async def test_it_may_come_before_the_job_waits_for_it(self, make_engine: MakeEngine):
        pipe = asking()
        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 1)
            assert await job.send("answer", Answer(ok=True))
            async with engine.worker():
                assert await job.result(timeout=20) == "2 True "

    async def test_a_step_of_the_job_may_send_it(self, make_engine: MakeEngine):
        pipe = Pipeline("own", input=int, output=int)

        @pipe.step
        async def check(number: int, ctx: StepContext) -> None:
            assert await ctx.send("answer", number + 1)
            assert not await ctx.send("answer", number + 2)

        @pipe.step
        async def decide(answer: int = Signal(timeout=60)) -> int:
            return answer

        async with make_engine([pipe]) as engine, engine.worker():
            job = await engine.submit(pipe, 1)
            assert await job.result(timeout=20) == 2
