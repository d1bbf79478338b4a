"""Outputs that are large, and outputs that cannot be stored."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from headrace import (
    Each,
    JobHandle,
    JobState,
    PermanentError,
    Pipeline,
    Retry,
    RetryAfter,
    Skip,
    StepContext,
)
from headrace.errors import JobFailedError
from headrace.settings import Settings
from headrace.testing import Engine
from tests.engine.conftest import MakeEngine
from tests.waiting import eventually

MIB = 1024 * 1024
AGAIN = Retry(attempts=3, first=5, jitter=0)


def folder_of(engine: Engine) -> Path:
    return engine._folder


def large_pipeline(size: int) -> Pipeline[int, int]:
    pipe = Pipeline("large", input=int, output=int)

    @pipe.step
    async def make(number: int) -> str:
        return "é" * (size // 2) + str(number)

    @pipe.step
    async def measure(make: str) -> int:
        return len(make.encode())

    return pipe


class TestLargeOutputs:
    async def test_one_lies_beside_the_database_and_comes_back_whole(self, make_engine: MakeEngine):
        pipe = large_pipeline(3 * MIB)
        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 7)
            await engine.run_until_empty()
            assert await job.result() == 3 * MIB + 1
            made, measured = await engine.steps(job)
            assert made.output is None
            assert made.artifact is not None
            assert made.artifact["bytes"] == 3 * MIB + 3
            assert measured.artifact is None
            assert (folder_of(engine) / str(made.artifact["path"])).exists()

    async def test_it_may_be_the_result(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=str)

        @pipe.step
        async def make(number: int) -> str:
            return str(number) * 2 * MIB

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 7)
            await engine.run_until_empty()
            assert await job.result() == "7" * 2 * MIB

    async def test_items_and_once_records_too(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=list[int])

        async def fetch(item: str) -> str:
            return item * 2 * MIB

        @pipe.step(retry=AGAIN)
        async def make(number: int, ctx: StepContext, item: str = Each(("a", "b"))) -> str:
            fetched = await ctx.once("fetch", fetch, item)
            if ctx.attempt == number:
                raise RuntimeError
            return fetched

        @pipe.step
        async def measure(make: list[str]) -> list[int]:
            return [len(text) for text in make]

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 1)
            await engine.run_until_empty(skip_waits=True)
            assert await job.result() == [2 * MIB, 2 * MIB]
            assert all(row.artifact and row.output is None for row in await engine.records(job))

    async def test_a_step_with_a_transaction_too(self, make_engine: MakeEngine):
        from headrace import Transaction  # noqa: PLC0415 - its only use

        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        async def make(number: int, tx: Transaction) -> str:
            await tx.execute("create table made ()")
            return str(number) * 2 * MIB

        @pipe.step
        async def measure(make: str) -> int:
            return len(make)

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 1)
            await engine.run_until_empty()
            assert await job.result() == 2 * MIB

    @pytest.mark.parametrize("damage", ["missing", "changed"])
    async def test_one_that_is_damaged_fails_the_job_at_once_and_is_named(
        self, make_engine: MakeEngine, damage: str
    ):
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        async def make(number: int) -> str:
            return str(number) * 2 * MIB

        @pipe.step(retry=AGAIN)
        async def measure(make: str, ctx: StepContext) -> int:
            if ctx.attempt == 1:
                raise RuntimeError
            return len(make)

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 7)
            async with engine.worker():
                await eventually(lambda: engine.tries(job))
                await eventually(lambda: is_in(job, JobState.QUEUED))
            [made] = await engine.steps(job)
            assert made.artifact is not None
            path = folder_of(engine) / str(made.artifact["path"])
            if damage == "missing":
                path.unlink()
            else:
                path.write_bytes(path.read_bytes().replace(b"7", b"8"))
            await engine.run_until_empty(skip_waits=True)
            with pytest.raises(JobFailedError) as caught:
                await job.result()
            assert caught.value.cause == "permanent_error"
            assert str(made.artifact["path"]) in caught.value.message
            assert len(await engine.tries(job)) == 2

    async def test_more_than_the_store_takes_fails_the_job_with_the_numbers(
        self, make_engine: MakeEngine
    ):
        pipe = large_pipeline(50 * MIB)
        settings = Settings(artifact_max_bytes=MIB)
        async with make_engine([pipe], settings=settings) as engine:
            started = monotonic()
            job = await engine.submit(pipe, 7)
            await engine.run_until_empty()
            assert monotonic() - started < 10
            with pytest.raises(JobFailedError, match=r"permanent_error.*52,?428,?803.*1,?048,?576"):
                await job.result()
            assert await engine.steps(job) == []
            assert list(folder_of(engine).rglob("*.*")) == []


async def is_in(job: JobHandle[Any], state: JobState) -> bool:
    return (await job.status()).state is state


@dataclass
class Node:
    """May lead to itself."""

    name: str
    next: "list[Node]" = field(default_factory=list)


def a_cycle() -> Node:
    node = Node("loop")
    node.next.append(node)
    return node


class Strange:
    """No JSON form."""


class TestOutputsThatCannotBeStored:
    @pytest.mark.parametrize(
        ("kind", "value", "path"),
        [
            (list[float], lambda: [0.5, float("nan")], "$[1]"),
            (dict[str, float], lambda: {"a": float("inf")}, "$.a"),
            (dict[str, str], lambda: {"a": "\ud800"}, "$.a"),
            (Node, a_cycle, "$"),
            (int, Strange, "$"),
            (list[int], lambda: [1, Strange()], "$[1]"),
            (dict[str, int], lambda: {1: 1}, "$"),
        ],
        ids=["NaN", "infinity", "surrogate", "cycle", "class", "class inside", "key"],
    )
    async def test_the_job_fails_at_once_and_says_where(
        self, make_engine: MakeEngine, kind: type, value: Callable[[], object], path: str
    ):
        pipe = Pipeline("pipe", input=int, output=kind)

        @pipe.step
        async def give(number: int) -> kind:  # noqa: ARG001
            return value()

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 1)
            await engine.run_until_empty()
            with pytest.raises(JobFailedError) as caught:
                await job.result()
            assert caught.value.cause == "permanent_error"
            assert path in caught.value.message
            assert len(await engine.tries(job)) == 1
            assert await engine.steps(job) == []
            status = await job.status()
            assert status.error is not None
            assert status.error.step == "give"
            assert [entry.to_state async for entry in job.events()][-1] == "failed"

    async def test_a_neighbour_in_the_same_group_is_stored(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=float)

        @pipe.step
        async def give(number: int) -> float:
            return float("nan") if number == 13 else float(number)

        async with make_engine([pipe]) as engine:
            await engine.submit_many(pipe, range(20))
            await engine.run_until_empty()
            assert len(await engine.jobs(state="completed")) == 19

    async def test_a_zero_character_is_stored(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=str, output=str)

        @pipe.step
        async def echo(text: str) -> str:
            return text

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, "a\0b")
            await engine.run_until_empty()
            assert await job.result() == "a\0b"


UGLY = "a\0b\ud800c"


class TestTextsThatCannotBeStored:
    """What steps say beside their output: it is shown, so it is made fit."""

    @pytest.mark.parametrize(
        "error",
        [RuntimeError(UGLY), PermanentError(UGLY), RetryAfter(60, UGLY)],
        ids=["error", "PermanentError", "RetryAfter"],
    )
    async def test_an_error_stays_the_error_that_it_is(
        self, make_engine: MakeEngine, error: Exception
    ):
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step(retry=AGAIN)
        async def work(number: int, ctx: StepContext) -> int:
            if ctx.attempt == number:
                raise error
            return number

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 1)
            await engine.run_until_empty(skip_waits=True)
            [tried] = await engine.tries(job)
            assert tried.message == r"a\0b\ud800c"
            row = await engine.job(job)
            permanent = isinstance(error, PermanentError)
            assert row.state is (JobState.FAILED if permanent else JobState.COMPLETED)

    async def test_a_reason_to_skip(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=int | None)

        @pipe.step
        async def work(number: int) -> int | None:
            raise Skip(UGLY * number)

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 1)
            await engine.run_until_empty()
            assert (await engine.job(job)).state is JobState.COMPLETED
            [step] = await engine.steps(job)
            assert step.reason == r"a\0b\ud800c"

    async def test_a_note_on_progress_hides_no_other(self, make_engine: MakeEngine):
        go_on = asyncio.Event()
        pipe = Pipeline("pipe", input=str, output=str)

        @pipe.step
        async def work(note: str, ctx: StepContext) -> str:
            ctx.progress(1, 2, note)
            await go_on.wait()
            return note

        async with make_engine([pipe]) as engine, engine.worker():
            jobs = await engine.submit_many(pipe, ["ugly", "fine"])
            ugly = await engine.submit(pipe, "a\0b")
            for job in (*jobs, ugly):
                await eventually(lambda job=job: shown(job))
            go_on.set()


async def shown(job: JobHandle[Any]) -> bool:
    [step] = (await job.status()).steps
    return step.progress is not None and step.progress.done == 1
