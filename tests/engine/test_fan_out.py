"""Steps that run once for each item."""

import asyncio
import gc
import tracemalloc
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest

from headrace import Each, JobHandle, JobState, PermanentError, Pipeline, Retry, StepContext
from headrace.errors import JobFailedError
from headrace.settings import Settings
from headrace.testing import Engine
from tests.engine.conftest import MakeEngine
from tests.waiting import eventually

COLOURS = ("red", "green", "blue")


class TestFixedSequences:
    async def test_each_element_is_an_item_and_outputs_come_in_their_order(
        self, make_engine: MakeEngine
    ):
        released = {colour: asyncio.Event() for colour in COLOURS}
        paint = Pipeline("paint", input=str, output=list[str])

        @paint.step
        async def coat(thing: str, colour: str = Each(COLOURS)) -> str:
            await released[colour].wait()
            return f"{colour} {thing}"

        @paint.step
        async def gather(coat: list[str]) -> list[str]:
            return coat

        async with make_engine([paint]) as engine, engine.worker():
            job = await engine.submit(paint, "door")
            for number, colour in enumerate(reversed(COLOURS)):
                released[colour].set()
                await eventually(lambda done=number + 1: stored(engine, job, "coat", done))
            assert await job.result(timeout=5) == ["red door", "green door", "blue door"]

    async def test_the_plan_is_stored_before_the_first_item_starts(self, make_engine: MakeEngine):
        seen: list[object] = []
        paint = Pipeline("paint", input=str, output=list[str])

        @paint.step
        async def coat(thing: str, ctx: StepContext, colour: str = Each(COLOURS, key=str)) -> str:
            [plan] = [row for row in await engine.steps(ctx.job_id) if row.state == "planned"]
            seen.append(plan.output)
            return f"{colour} {thing}"

        @paint.step
        async def gather(coat: list[str]) -> list[str]:
            return coat

        async with make_engine([paint]) as engine:
            await engine.submit(paint, "door")
            await engine.run_until_empty()
        assert seen == [[[colour, colour] for colour in COLOURS]] * 3


class TestListsOfASteps:
    async def test_the_list_that_a_step_returned_gives_the_items(self, make_engine: MakeEngine):
        squares = Pipeline("squares", input=int, output=list[int])

        @squares.step
        async def numbers(count: int) -> list[int]:
            return list(range(count))

        @squares.step
        async def square(ctx: StepContext, number: int = Each(numbers)) -> int:
            assert ctx.item == str(number)
            return number**2

        @squares.step
        async def gather(square: list[int]) -> list[int]:
            return square

        async with make_engine([squares]) as engine:
            job = await engine.submit(squares, 5)
            await engine.run_until_empty()
            assert await job.result() == [0, 1, 4, 9, 16]

    async def test_of_an_empty_list_nothing_runs_and_the_join_gets_an_empty_list(
        self, make_engine: MakeEngine
    ):
        ran: list[int] = []
        squares = Pipeline("squares", input=int, output=list[int])

        @squares.step
        async def numbers(count: int) -> list[int]:
            return list(range(count))

        @squares.step
        async def square(number: int = Each(numbers)) -> int:
            ran.append(number)
            return number**2

        @squares.step
        async def gather(square: list[int]) -> list[int]:
            return square

        async with make_engine([squares]) as engine:
            job = await engine.submit(squares, 0)
            await engine.run_until_empty()
            assert await job.result() == []
        assert ran == []

    async def test_an_empty_fan_out_may_be_the_last_step(self, make_engine: MakeEngine):
        squares = Pipeline("squares", input=int, output=list[int])

        @squares.step
        async def numbers(count: int) -> list[int]:
            return list(range(count))

        @squares.step
        async def square(number: int = Each(numbers)) -> int:
            return number**2

        async with make_engine([squares]) as engine:
            jobs = await engine.submit_many(squares, [0, 2])
            await engine.run_until_empty()
            assert [await job.result() for job in jobs] == [[], [0, 1]]


@dataclass
class Page:
    """An element with a name."""

    name: str
    text: str


class TestKeys:
    async def test_outputs_are_stored_under_the_keys_that_were_asked_for(
        self, make_engine: MakeEngine
    ):
        reading = Pipeline("reading", input=int, output=list[int])

        @reading.step
        async def pages(count: int) -> list[Page]:
            return [Page(f"page {number}", "x" * number) for number in range(count)]

        @reading.step
        async def read(
            ctx: StepContext, page: Page = Each(pages, key=lambda page: page.name)
        ) -> int:
            assert ctx.item == page.name
            return len(page.text)

        @reading.step
        async def gather(read: list[int]) -> list[int]:
            return read

        async with make_engine([reading]) as engine:
            job = await engine.submit(reading, 3)
            await engine.run_until_empty()
            items = {row.item: row.output for row in await engine.steps(job) if row.step == "read"}
        items.pop(None)
        assert items == {"page 0": 0, "page 1": 1, "page 2": 2}

    async def test_a_key_that_comes_twice_fails_the_job_and_is_named(self, make_engine: MakeEngine):
        reading = Pipeline("reading", input=int, output=list[int])

        @reading.step
        async def pages(count: int) -> list[str]:
            return ["same"] * count

        @reading.step
        async def read(page: str = Each(pages, key=str)) -> int:
            return len(page)

        async with make_engine([reading]) as engine:
            job = await engine.submit(reading, 2)
            await engine.run_until_empty()
            with pytest.raises(JobFailedError, match=r"permanent_error.*'same'"):
                await job.result()


class TestParallel:
    async def test_no_more_items_than_parallel_run_at_once_and_no_fewer(
        self, make_engine: MakeEngine
    ):
        at_once = most = 0
        full = asyncio.Event()
        pipe = Pipeline("pipe", input=int, output=list[int])

        @pipe.step
        async def numbers(count: int) -> list[int]:
            return list(range(count))

        @pipe.step(parallel=3)
        async def work(number: int = Each(numbers)) -> int:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            if at_once == 3:
                full.set()
            async with asyncio.timeout(5):
                await full.wait()
            await asyncio.sleep(0.005)
            at_once -= 1
            return number

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 12)
            await engine.run_until_empty()
            assert await job.result() == list(range(12))
        assert most == 3

    async def test_a_job_takes_one_slot_whatever_its_items(self, make_engine: MakeEngine):
        meeting = asyncio.Barrier(3)
        pipe = Pipeline("pipe", input=int, output=list[int])

        @pipe.step
        async def work(number: int, item: int = Each((1, 2, 3))) -> int:
            await meeting.wait()
            return number * item

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 1)
            await engine.run_until_empty(concurrency=1)
            assert await job.result() == [1, 2, 3]


class TestFailures:
    async def test_items_that_are_done_stay_done_when_another_fails(self, make_engine: MakeEngine):
        runs = Counter[int]()
        pipe = Pipeline("pipe", input=int, output=list[int])

        @pipe.step(retry=Retry(attempts=3, first=5, jitter=0))
        async def work(number: int, item: int = Each((1, 2, 3))) -> int:
            runs[item] += 1
            if item == 2:
                raise RuntimeError(f"item {item} of {number}")
            return item

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 1)
            await engine.run_until_empty(skip_waits=True)
            row = await engine.job(job)
            assert (row.state, row.cause) == (JobState.FAILED, "attempts_exhausted")
            assert row.error is not None
            assert row.error["step"] == "work"
            done = [row.output for row in await engine.steps(job) if row.state == "completed"]
            assert sorted(done) == [1, 3]
        assert runs == {1: 1, 2: 3, 3: 1}

    async def test_a_permanent_failure_lets_running_items_end_and_starts_no_more(
        self, make_engine: MakeEngine
    ):
        started: list[int] = []
        failed, go_on = asyncio.Event(), asyncio.Event()
        pipe = Pipeline("pipe", input=int, output=list[int])

        @pipe.step(parallel=2)
        async def work(number: int, item: int = Each((1, 2, 3, 4))) -> int:
            started.append(item)
            if item == 1:
                failed.set()
                raise PermanentError(f"never {number}")
            await go_on.wait()
            return item

        async with make_engine([pipe]) as engine, engine.worker():
            job = await engine.submit(pipe, 1)
            await failed.wait()
            await eventually(lambda: engine.tries(job))
            assert (await engine.job(job)).state is JobState.RUNNING
            go_on.set()
            await engine.run_until_empty()
            row = await engine.job(job)
            assert (row.state, row.cause) == (JobState.FAILED, "permanent_error")
            done = [row.item for row in await engine.steps(job) if row.state == "completed"]
            assert len(done) == 1
        assert started == [1, 2]

    async def test_a_crash_repeats_only_the_items_that_were_open(self, make_engine: MakeEngine):
        async with make_engine([survivor]) as engine:
            job = await engine.submit(survivor, 20)
            await engine.crash_at(
                "ledger.checkpoint.after_commit", app=f"{__name__}:survivor", nth=3
            )
            before = {row.item: row.token for row in await engine.steps(job) if row.item}
            assert 0 < len(before) < 20
            await engine.run_until_empty()
            assert await job.result() == 20
            after = {row.item: row.token for row in await engine.steps(job) if row.item}
            assert {item: after[item] for item in before} == before


survivor = Pipeline("survivor", input=int, output=int)


@survivor.step
async def numbers(count: int) -> list[int]:
    return list(range(count))


@survivor.step(parallel=2)
async def echo(number: int = Each(numbers)) -> int:
    await asyncio.sleep(0.01)  # so that not all of them are done before the first is stored
    return number


@survivor.step
async def total(echo: list[int]) -> int:
    assert echo == list(range(len(echo)))
    return len(echo)


class TestTenThousandItems:
    async def test_each_runs_once_the_join_once_and_memory_is_bounded(
        self, make_engine: MakeEngine
    ):
        runs = Counter[int]()
        joins: list[int] = []
        many = Pipeline("many", input=int, output=int)

        @many.step
        async def spread(count: int) -> list[int]:
            return list(range(count))

        @many.step(parallel=500)
        async def work(number: int = Each(spread)) -> int:
            runs[number] += 1
            return number

        @many.step
        async def join(work: list[int]) -> int:
            joins.append(len(work))
            return sum(work)

        async with make_engine([many]) as engine:
            job = await engine.submit(many, 10_000)
            gc.collect()
            tracemalloc.start()
            try:
                await engine.run_until_empty(timeout=50)
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            assert await job.result() == sum(range(10_000))
            rows = await engine.steps(job)
        assert len(runs) == 10_000
        assert set(runs.values()) == {1}
        assert joins == [10_000]
        assert len({row.item for row in rows if row.step == "work" and row.item}) == 10_000
        assert peak < 60 * 1024 * 1024

    async def test_one_more_than_the_limit_is_refused_with_the_numbers(
        self, make_engine: MakeEngine
    ):
        many = Pipeline("many", input=int, output=list[int])

        @many.step
        async def spread(count: int) -> list[int]:
            return list(range(count))

        @many.step
        async def work(number: int = Each(spread)) -> int:
            return number

        async with make_engine([many], settings=Settings(fanout_max=3)) as engine:
            fits, too_many = await engine.submit_many(many, [3, 4])
            await engine.run_until_empty()
            assert await fits.result() == [0, 1, 2]
            with pytest.raises(JobFailedError, match=r"permanent_error.*4.*3"):
                await too_many.result()


async def stored(engine: Engine, job: JobHandle[Any], step: str, count: int) -> bool:
    rows = await engine.steps(job)
    return sum(row.step == step and row.state == "completed" for row in rows) >= count
