"""What the step behind a fan-out gets whose items may fail."""

import sys
from dataclasses import dataclass
from typing import Any

import msgspec
import pydantic
import pytest

from headrace import Each, ItemError, ItemResult, PermanentError, Pipeline, Retry, Skip
from headrace.settings import Settings
from tests.engine.conftest import MakeEngine
from tests.engine.lossy import ALL, apart


@dataclass
class Note:
    text: str


class Card(pydantic.BaseModel):
    text: str


class Slip(msgspec.Struct):
    text: str


class TestEnoughSucceed:
    async def test_the_next_step_gets_each_output_or_error_in_item_order(
        self, make_engine: MakeEngine
    ):
        seen: list[Any] = []
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step(retry=Retry(attempts=1))
        async def work(number: int, item: str = Each(("c", "a", "b"), key=str, at_least=2)) -> int:
            if item == "a":
                raise ValueError(f"no {number}")
            return number

        @pipe.step
        async def count(work: list[ItemResult[int]]) -> int:
            seen.extend(work)
            return sum(one.ok for one in work)

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 7)
            await engine.run_until_empty()
            assert await job.result() == 2
        assert seen == [
            ItemResult("c", 7),
            ItemResult("a", error=ItemError("ValueError", "unknown", "no 7")),
            ItemResult("b", 7),
        ]

    @pytest.mark.parametrize("kind", [Note, Card, Slip], ids=["dataclass", "pydantic", "msgspec"])
    async def test_outputs_arrive_as_what_they_were(
        self, make_engine: MakeEngine, kind: type[Note | Card | Slip]
    ):
        seen: list[Any] = []
        pipe = Pipeline("pipe", input=str, output=int)

        @pipe.step
        async def make(text: str, item: int = Each((1, 2), at_least=1)) -> kind:
            if item == 2:
                raise PermanentError("two")
            return kind(text=text)

        @pipe.step
        async def count(make: list[ItemResult[kind]]) -> int:
            seen.extend(one.output for one in make)
            return len(make)

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, "ink")
            await engine.run_until_empty()
            assert await job.result() == 2
        assert seen == [kind(text="ink"), None]

    async def test_a_failed_item_is_a_row_with_its_error_and_the_tries_before_it(
        self, make_engine: MakeEngine
    ):
        pipe = Pipeline("pipe", input=int, output=list[ItemResult[int]])

        @pipe.step(retry=Retry(attempts=3, first=1, jitter=0))
        async def work(number: int, item: int = Each((1, 2), key=str, at_least=1)) -> int:
            if item == 2:
                raise RuntimeError(f"item {item} of {number}")
            return item

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 1)
            await engine.run_until_empty(skip_waits=True)
            assert await job.result() == [
                ItemResult("1", 1),
                ItemResult("2", error=ItemError("RuntimeError", "unknown", "item 2 of 1")),
            ]
            [row] = [row for row in await engine.steps(job) if row.item == "2"]
            assert (row.state, row.attempts) == ("failed", 3)
            assert row.output["code"] == "RuntimeError"
            assert row.output["cause"] == "attempts_exhausted"
            assert [tried.due_at is None for tried in await engine.tries(job)] == [
                False,
                False,
                True,
            ]
            assert [event.reason for event in await engine.events(job)][-1] == "completed"

    async def test_all_of_them_may_fail_where_none_is_needed(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        async def work(number: int, item: int = Each((1, 2), at_least=0)) -> int:
            raise PermanentError(f"{number} {item}")

        @pipe.step
        async def count(work: list[ItemResult[int]]) -> int:
            return sum(one.ok for one in work)

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 7)
            await engine.run_until_empty()
            assert await job.result() == 0

    async def test_an_item_that_is_skipped_counts_as_one_that_succeeded(
        self, make_engine: MakeEngine
    ):
        pipe = Pipeline("pipe", input=int, output=list[ItemResult[int | None]])

        @pipe.step
        async def work(number: int, item: int = Each((1, 2), key=str, at_least=1)) -> int | None:
            if item == 1:
                raise Skip("not asked for")
            raise PermanentError(f"no {number}")

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 7)
            await engine.run_until_empty()
            assert await job.result() == [
                ItemResult("1"),
                ItemResult("2", error=ItemError("PERMANENT_ERROR", "permanent", "no 7")),
            ]

    async def test_outputs_that_are_kept_aside_are_fetched(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        async def work(count: int, item: int = Each((1, 2), at_least=1)) -> str:
            if item == 2:
                raise PermanentError("two")
            return "x" * count

        @pipe.step
        async def measure(work: list[ItemResult[str]]) -> int:
            return sum(len(one.output) for one in work if one.output is not None)

        settings = Settings(checkpoint_max_bytes=65_536)
        async with make_engine([pipe], settings=settings) as engine:
            job = await engine.submit(pipe, 70_000)
            await engine.run_until_empty()
            assert await job.result() == 70_000
            assert any(row.artifact for row in await engine.steps(job))

    @pytest.mark.skipif(sys.platform != "linux", reason="limits are Linux's")
    async def test_steps_in_processes_fail_and_are_gathered_alike(self, make_engine: MakeEngine):
        async with make_engine(ALL) as engine:
            job = await engine.submit(apart, 6)
            async with engine.spawn("tests.engine.lossy:ALL"):
                found = await job.result(timeout=30)
        assert found[:3] == ["0=ZeroDivisionError", "1=6", "2=3"]
        assert found[3].startswith("3=")
        assert found[3] != "3=2"
