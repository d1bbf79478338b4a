"""Items that may fail for good while enough of them succeed."""

import asyncio
from collections import OrderedDict
from typing import Any

import pytest

from headrace import (
    CancelJob,
    Each,
    ItemResult,
    JobHandle,
    JobState,
    PermanentError,
    Pipeline,
    Retry,
    RetryAfter,
    StepContext,
    UserError,
)
from headrace.errors import BudgetExhaustedError, JobFailedError
from headrace.model.step import Step
from headrace.testing import Engine
from headrace.worker.failure import too_few
from headrace.worker.stored import Fan
from tests.engine.conftest import MakeEngine
from tests.engine.lossy import lossy, outcomes_of
from tests.waiting import eventually


class TestTooFewSucceed:
    async def test_the_job_fails_as_its_last_item_and_says_how_many(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step(parallel=1, retry=Retry(attempts=1))
        async def work(number: int, item: int = Each((1, 2, 3), key=str, at_least=2)) -> int:
            if item > 1:
                raise UserError(f"no {item}")
            return number

        @pipe.step
        async def count(work: list[ItemResult[int]]) -> int:
            raise AssertionError(work)

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 7)
            await engine.run_until_empty()
            row = await engine.job(job)
            assert (row.state, row.cause) == (JobState.FAILED, "permanent_error")
            assert row.error == {
                "code": "USER_ERROR",
                "class": "user",
                "message": "2 of 3 items of step work failed, and 2 have to succeed; the last "
                "failure: no 3",
                "step": "work",
                "item": "3",
            }
            states = {row.item: row.state for row in await engine.steps(job) if row.item}
            assert states == {"1": "completed", "2": "failed", "3": "failed"}

    async def test_what_runs_ends_and_nothing_more_starts(self, make_engine: MakeEngine):
        started: list[int] = []
        failed, go_on = asyncio.Event(), asyncio.Event()
        pipe = Pipeline("pipe", input=int, output=list[ItemResult[int]])

        @pipe.step(parallel=2)
        async def work(number: int, item: int = Each((1, 2, 3, 4, 5), key=str, at_least=4)) -> int:
            started.append(item)
            if item in {1, 3}:
                if item == 3:
                    failed.set()
                raise PermanentError(f"never {number}")
            await go_on.wait()
            return item

        async with make_engine([pipe]) as engine, engine.worker():
            job = await engine.submit(pipe, 1)
            await failed.wait()
            await eventually(lambda: has_tries(engine, job.id, 2))
            assert (await engine.job(job)).state is JobState.RUNNING
            go_on.set()
            await engine.run_until_empty()
            assert (await engine.job(job)).state is JobState.FAILED
            states = {row.item: row.state for row in await engine.steps(job) if row.item}
            assert states == {"1": "failed", "2": "completed", "3": "failed"}
        assert started == [1, 2, 3]

    async def test_a_list_that_is_too_short_fails_before_an_item_runs(
        self, make_engine: MakeEngine
    ):
        async with make_engine([lossy]) as engine:
            job = await engine.submit(lossy, [1])
            await engine.run_until_empty()
            with pytest.raises(JobFailedError, match="1 items; at least 2 have to succeed"):
                await job.result()
            assert [row.step for row in await engine.steps(job)] == ["numbers"]

    async def test_an_item_that_fails_beside_another_step_is_no_part_of_that_failure(
        self, make_engine: MakeEngine
    ):
        pipe = Pipeline("pipe", input=int, output=list[ItemResult[int]])

        @pipe.step
        async def work(number: int, item: int = Each((1, 2), at_least=1)) -> int:
            if item == 1:
                raise PermanentError("one")
            return number

        @pipe.step(after=[work])
        async def after(number: int) -> str:
            raise PermanentError(f"after {number}")

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 7)
            await engine.run_until_empty()
            row = await engine.job(job)
            assert row.error is not None
            assert row.error["step"] == "after"


async def has_tries(engine: Engine, job: str, count: int) -> bool:
    return len(await engine.tries(job)) >= count


class TestWhatCounts:
    @pytest.fixture
    def failing(self) -> Pipeline[str, list[ItemResult[int]]]:
        pipe = Pipeline("failing", input=str, output=list[ItemResult[int]])

        @pipe.step(retry=Retry(attempts=2, first=1, jitter=0))
        async def work(
            way: str, ctx: StepContext, item: int = Each((1, 2), key=str, at_least=1)
        ) -> int:
            if item == 1:
                return item
            match way:
                case "output":
                    wrong: Any = "text"
                    return wrong
                case "budget":
                    raise BudgetExhaustedError("month", "7 tokens", "5 tokens", None)
                case "wait":
                    raise RetryAfter(40_000, "later")
                case "cancel":
                    raise CancelJob("enough")
                case "once":
                    if ctx.attempt == 1:
                        raise ConnectionError("a moment")
            return item

        return pipe

    @pytest.mark.parametrize(
        ("way", "told"),
        [
            ("output", ("VALIDATION_ERROR", "permanent", "permanent_error")),
            ("budget", ("BUDGET_EXHAUSTED", "budget", "budget_exhausted")),
            ("wait", ("WAIT_LIMIT", "rate_limited", "wait_limit")),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    async def test_an_item_has_failed_when_its_job_would_have(
        self,
        make_engine: MakeEngine,
        failing: Pipeline[str, list[ItemResult[int]]],
        way: str,
        told: tuple[str, str, str],
    ):
        async with make_engine([failing]) as engine:
            job = await engine.submit(failing, way)
            await engine.run_until_empty(skip_waits=True)
            first, second = await job.result()
            assert first == ItemResult("1", 1)
            assert second.error is not None
            [row] = [row for row in await engine.steps(job) if row.state == "failed"]
            assert (second.error.code, second.error.kind, row.output["cause"]) == told
            assert (await engine.tries(job))[-1].due_at is None

    async def test_an_item_that_takes_too_long_has_failed(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=list[ItemResult[int]])

        @pipe.step(timeout=1, retry=Retry(attempts=1))
        async def work(number: int, item: int = Each((1, 2), key=str, at_least=0)) -> int:
            if item == 2:
                await asyncio.sleep(60)
            return number

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 7)
            await engine.run_until_empty()
            second = (await job.result())[1]
            assert second.error is not None
            assert (second.error.code, second.error.kind) == ("TIMEOUT", "timeout")
            [row] = [row for row in await engine.steps(job) if row.item == "2"]
            assert row.output["cause"] == "step_timeout"

    async def test_an_item_that_succeeds_at_its_second_try_has_not(
        self, make_engine: MakeEngine, failing: Pipeline[str, list[ItemResult[int]]]
    ):
        async with make_engine([failing]) as engine:
            job = await engine.submit(failing, "once")
            await engine.run_until_empty(skip_waits=True)
            assert await job.result() == [ItemResult("1", 1), ItemResult("2", 2)]

    async def test_an_item_that_cancels_the_job_has_not(
        self, make_engine: MakeEngine, failing: Pipeline[str, list[ItemResult[int]]]
    ):
        async with make_engine([failing]) as engine:
            job = await engine.submit(failing, "cancel")
            await engine.run_until_empty()
            assert (await engine.job(job)).state is JobState.CANCELLED
            assert all(row.state != "failed" for row in await engine.steps(job))


class TestBesideOtherOptions:
    async def test_an_item_whose_child_job_fails_has_failed(self, make_engine: MakeEngine):
        child = Pipeline("child", input=int, output=int)
        parent = Pipeline("parent", input=int, output=list[str])

        @child.step
        async def grow(number: int) -> int:
            if number == 2:
                raise PermanentError("too old")
            return number * 10

        @parent.step
        async def ask(
            number: int, ctx: StepContext, item: int = Each((1, 2), key=str, at_least=1)
        ) -> JobHandle[int]:
            return await ctx.submit(child, item * number)

        @parent.step
        async def gather(ask: list[ItemResult[int]]) -> list[str]:
            return outcomes_of(ask)

        async with make_engine([child, parent]) as engine:
            job = await engine.submit(parent, 1)
            await engine.run_until_empty()
            assert await job.result() == ["1=10", "2=CHILD_FAILED"]

    async def test_only_items_that_succeeded_are_undone(self, make_engine: MakeEngine):
        undone: list[int] = []
        pipe = Pipeline("pipe", input=int, output=int)

        async def refund(charge: int) -> None:
            undone.append(charge)

        @pipe.step(undo=refund)
        async def charge(number: int, item: int = Each((1, 2, 3), key=str, at_least=2)) -> int:
            if item == 2:
                raise PermanentError("no money")
            return number * item

        @pipe.step(after=[charge])
        async def ship(number: int) -> int:
            raise PermanentError(f"no ship {number}")

        async with make_engine([pipe]) as engine:
            await engine.submit(pipe, 10)
            await engine.run_until_empty()
        assert undone == [30, 10]


class TestOtherCode:
    def step(self, at_least: int | None) -> Step:
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        async def numbers(count: int) -> list[int]: ...

        @pipe.step
        async def work(number: int = Each(numbers, at_least=at_least)) -> int: ...

        return pipe.steps["work"]

    def fan(self, failed: int) -> Fan:
        error = '{"code":"TIMEOUT","kind":"timeout","message":"slow","cause":"step_timeout"}'
        errors = {str(key): error for key in range(failed)}
        return Fan(
            {str(key): "0" for key in range(3)}, OrderedDict(), {}, failed=failed, errors=errors
        )

    def test_that_needs_all_fails_a_job_that_has_a_failed_item(self):
        assert too_few(self.step(2), self.fan(1)) is None
        assert too_few(self.step(None), self.fan(0)) is None
        found = too_few(self.step(None), self.fan(1))
        assert found is not None
        assert (found.cause, found.code, found.kind) == ("step_timeout", "TIMEOUT", "timeout")
        assert (found.step, found.item) == ("work", "0")
        assert "1 of 3 items of step work failed, and 3 have to succeed" in found.message

    def test_that_needs_more_than_there_are_fails_the_job(self):
        found = too_few(self.step(4), self.fan(0))
        assert found is not None
        assert (found.cause, found.code, found.item) == ("permanent_error", "ITEMS", None)
