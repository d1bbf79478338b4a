"""The keys that undo functions hand to other services."""

from headrace import PermanentError, Pipeline, StepContext
from tests.undo.conftest import MakeEngine
from tests.undo.shop import ONCE, undone


class TestTheKeyOfAnUndoFunction:
    async def test_it_is_the_same_after_a_redrive_and_another_for_another_run(
        self, make_engine: MakeEngine
    ):
        keys: list[str] = []
        answers = ["lost", "ok", "ok"]
        pipe = Pipeline("sale", input=int, output=int)

        async def refund(pay: int, ctx: StepContext) -> None:
            keys.append(f"{pay} {ctx.idempotency_key}")
            if answers.pop(0) == "lost":
                raise PermanentError("the bank's answer was lost")

        @pipe.step(undo=refund)
        async def pay(number: int) -> int:
            return number

        @pipe.step(retry=ONCE)
        async def ship(pay: int) -> int:
            raise PermanentError(f"no lorry for {pay}")

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 1)
            undo = await undone(engine, job, "failed")
            assert await engine.app.retry(undo.job_id) == 2
            await undone(engine, job)
            assert await engine.app.retry(job.id) == 2
            await undone(engine, job)
        first, again, of_second_run = keys
        assert first == again
        assert of_second_run != first
