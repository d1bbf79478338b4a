"""What a new run takes over of what was sent to the run before it."""

from datetime import timedelta

import pytest

from headrace import PermanentError, Pipeline, Signal
from headrace.errors import JobFailedError
from headrace.testing import Engine
from tests.engine.conftest import MakeEngine
from tests.waits.looking import rows_of, until_state, until_waiting

LONG = timedelta(days=3)

steps_fail = {"decide": False, "tell": True}
asking = Pipeline("asking", input=int, output=int)


@asking.step
async def decide(number: int, answer: int = Signal(timeout=LONG)) -> int:
    if steps_fail["decide"]:
        raise PermanentError("not that")
    return number + answer


@asking.step
async def tell(decide: int) -> int:
    if steps_fail["tell"]:
        raise PermanentError("nobody hears")
    return decide


@pytest.fixture(autouse=True)
def as_at_first() -> None:
    steps_fail.update({"decide": False, "tell": True})


async def failed(engine: Engine) -> str:
    """The id of a job that failed after its signal had come."""
    job = await engine.submit(asking, 1)
    assert await job.send("answer", 10)
    await until_state(job, "failed")
    return job.id


class TestARetry:
    async def test_a_step_that_failed_gets_the_same_value_again(
        self, make_engine: MakeEngine
    ) -> None:
        async with make_engine([asking]) as engine, engine.worker():
            steps_fail["decide"] = True
            job = await failed(engine)
            steps_fail.update({"decide": False, "tell": False})
            await engine.app.retry(job)
            assert await engine.app.job(job).result(timeout=20) == 11
            assert await engine.app.send(job, "answer", 10)
            assert not await engine.app.send(job, "answer", 11)

    async def test_from_the_step_that_takes_it_on_it_is_asked_for_again(
        self, make_engine: MakeEngine
    ) -> None:
        async with make_engine([asking]) as engine, engine.worker():
            job = await failed(engine)
            steps_fail["tell"] = False
            await engine.app.retry(job, from_step="decide")
            handle = engine.app.job(job)
            await until_waiting(handle, "external")
            assert await handle.send("answer", 20)
            assert await handle.result(timeout=20) == 21
            rows = await rows_of(engine, "signals", handle)
            assert sorted((row["run"], row["value"]) for row in rows) == [(1, "10"), (2, "20")]

    async def test_from_a_later_step_on_it_stands(self, make_engine: MakeEngine) -> None:
        async with make_engine([asking]) as engine, engine.worker():
            job = await failed(engine)
            steps_fail["tell"] = False
            await engine.app.retry(job, from_step="tell")
            assert await engine.app.job(job).result(timeout=20) == 11
            assert not await engine.app.send(job, "answer", 20)

    async def test_with_force_it_is_asked_for_again(self, make_engine: MakeEngine) -> None:
        async with make_engine([asking]) as engine, engine.worker():
            job = await failed(engine)
            steps_fail["tell"] = False
            await engine.app.retry(job, force=True)
            await until_waiting(engine.app.job(job), "external")
            assert await engine.app.send(job, "answer", 5)
            assert await engine.app.job(job).result(timeout=20) == 6

    async def test_one_app_without_the_code_takes_over_the_same(
        self, make_engine: MakeEngine
    ) -> None:
        async with make_engine([asking]) as engine, engine.worker():
            job = await failed(engine)
            async with engine.app_with([]) as other:
                await other.retry(job, from_step="decide")
            await until_waiting(engine.app.job(job), "external")

    async def test_what_came_too_late_may_come_now(self, make_engine: MakeEngine) -> None:
        async with make_engine([asking]) as engine, engine.worker():
            job = await engine.submit(asking, 1)
            await until_waiting(job, "external")
            await engine.move_clock(LONG + timedelta(hours=1))
            with pytest.raises(
                JobFailedError, match="waited 3 days, 0:00:00 for the signal answer"
            ):
                await job.result(timeout=20)
            assert not await job.send("answer", 1)
            steps_fail["tell"] = False
            await engine.app.retry(job.id)
            await until_waiting(job, "external")
            assert await job.send("answer", 1)
            assert await job.result(timeout=20) == 2


class TestASignalThatTwoStepsTake:
    async def test_it_stands_as_long_as_the_output_of_one_of_them_does(
        self, make_engine: MakeEngine
    ) -> None:
        pipe = Pipeline("two", input=int, output=int)

        @pipe.step
        async def first(number: int, answer: int = Signal(timeout=LONG)) -> int:
            return number + answer

        @pipe.step
        async def second(first: int, answer: int = Signal(timeout=LONG)) -> int:
            return first * answer

        async with make_engine([pipe]) as engine, engine.worker():
            job = await engine.submit(pipe, 1)
            assert await job.send("answer", 3)
            assert await job.result(timeout=20) == 12
            await engine.app.replay(job.id, from_step="second")
            assert await job.result(timeout=20) == 12
            await engine.app.replay(job.id, from_step="first")
            await until_waiting(job, "external")
