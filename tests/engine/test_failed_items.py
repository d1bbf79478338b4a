"""Failed items through deaths and new runs, and against the policy said once more."""

import asyncio
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from headrace import (
    Each,
    ItemError,
    ItemResult,
    JobHandle,
    JobState,
    PermanentError,
    Pipeline,
    Retry,
    Skip,
    StepContext,
)
from headrace.errors import JobFailedError
from headrace.testing import Engine
from tests.engine.conftest import MakeEngine
from tests.engine.lossy import ALL, FOLDER, beside, lossy
from tests.waiting import eventually


@pytest.fixture
def effects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the steps of all processes write down what they do."""
    monkeypatch.setenv(FOLDER, str(tmp_path))
    return tmp_path / "effects"


def lines_of(effects: Path) -> list[str]:
    return effects.read_text().splitlines() if effects.exists() else []


class TestDeath:
    async def test_an_item_that_had_failed_is_not_run_again(
        self, make_engine: MakeEngine, effects: Path
    ):
        async with make_engine(ALL) as engine:
            job = await engine.submit(lossy, [1, -2, 0])
            await kill_after(engine, job.id, effects, failed=1, last="work 0")
            await engine.run_until_empty()
            assert await job.result() == ["0=1", "1=PERMANENT_ERROR", "2=0"]
        assert Counter(lines_of(effects)) == {"work 1": 1, "work -2": 1, "work 0": 2}

    async def test_the_job_fails_after_it_as_it_would_have(
        self, make_engine: MakeEngine, effects: Path
    ):
        async with make_engine(ALL) as engine:
            job = await engine.submit(lossy, [-1, 0, -3])
            await kill_after(engine, job.id, effects, failed=1, last="work 0")
            await engine.run_until_empty()
            with pytest.raises(JobFailedError, match=r"2 of 3 items .* 2 have to .* no -3"):
                await job.result()
        assert Counter(lines_of(effects)) == {"work -1": 1, "work 0": 2, "work -3": 1}

    async def test_the_job_fails_at_once_where_too_many_items_had_failed(
        self, make_engine: MakeEngine, effects: Path
    ):
        async with make_engine(ALL) as engine:
            job = await engine.submit(beside, [-1, -2, 3])
            # The other step still runs, so that the job does not end with its second failed item.
            await kill_after(engine, job.id, effects, failed=2, last="linger [-1, -2, 3]")
            await engine.run_until_empty()
            with pytest.raises(JobFailedError, match=r"2 of 3 items .* 2 have to .* no -2"):
                await job.result()
        assert Counter(lines_of(effects)) == {"linger [-1, -2, 3]": 1, "work -1": 1, "work -2": 1}

    async def test_an_item_that_dies_with_its_worker_has_not_failed(
        self, make_engine: MakeEngine, effects: Path
    ):
        async with make_engine(ALL) as engine:
            job = await engine.submit(lossy, [1, 2])
            await engine.crash_at("attempt.after_effect", app="tests.engine.lossy:ALL", nth=2)
            await engine.run_until_empty()
            assert await job.result() == ["0=1", "1=2"]
        assert Counter(lines_of(effects))["work 1"] == 2


async def kill_after(engine: Engine, job: str, effects: Path, *, failed: int, last: str) -> None:
    """Kill a worker when so many failed items are stored, while its last step runs."""

    async def is_time() -> bool:
        rows = await engine.steps(job)
        return sum(row.state == "failed" for row in rows) == failed and last in lines_of(effects)

    async with engine.spawn("tests.engine.lossy:ALL") as process:
        await eventually(is_time)
        process.kill()
        await process.wait()


class TestNewRun:
    async def test_failed_items_run_again_and_finished_ones_do_not(self, make_engine: MakeEngine):
        runs = Counter[int]()
        better = asyncio.Event()
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step(retry=Retry(attempts=1))
        async def work(number: int, item: int = Each((1, 2, 3), at_least=2)) -> int:
            runs[item] += 1
            if item > 1 and not better.is_set():
                raise RuntimeError(f"not yet {number}")
            return item

        @pipe.step
        async def count(work: list[ItemResult[int]]) -> int:
            return sum(one.output or 0 for one in work)

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 1)
            await engine.run_until_empty()
            better.set()
            await engine.app.retry(job.id)
            await engine.run_until_empty()
            assert await job.result() == 6
        assert runs == {1: 1, 2: 2, 3: 2}

    async def test_they_stay_failed_where_what_was_made_of_them_stands(
        self, make_engine: MakeEngine
    ):
        runs = Counter[str]()
        better = asyncio.Event()
        pipe = Pipeline("pipe", input=int, output=str)

        @pipe.step(retry=Retry(attempts=1))
        async def work(number: int, item: int = Each((1, 2), key=str, at_least=1)) -> int:
            runs[f"work {item}"] += 1
            if item == 2 and not better.is_set():
                raise RuntimeError(f"not yet {number}")
            return item

        @pipe.step
        async def count(work: list[ItemResult[int]]) -> int:
            runs["count"] += 1
            return sum(one.ok for one in work)

        @pipe.step(retry=Retry(attempts=1))
        async def tell(count: int) -> str:
            if not better.is_set():
                raise RuntimeError("not yet")
            return f"{count}"

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 1)
            await engine.run_until_empty()
            better.set()
            await engine.app.retry(job.id)
            await engine.run_until_empty()
            assert await job.result() == "1"
            assert runs == {"work 1": 1, "work 2": 1, "count": 1}
            status = await job.status()
            assert status.steps[0].items is not None
            assert [item.reused_from for item in status.steps[0].items] == [1, 1]
            assert [item.state for item in status.steps[0].items] == ["completed", "failed"]

            await engine.app.replay(job.id, from_step="count")
            await engine.run_until_empty()
            assert await job.result() == "2"
        assert runs == {"work 1": 1, "work 2": 2, "count": 2}

    @pytest.mark.parametrize("at_least", [None, 2])
    async def test_an_output_that_an_operator_gives_stands_while_they_run(
        self, make_engine: MakeEngine, at_least: int | None
    ):
        better = asyncio.Event()
        pipe = Pipeline("pipe", input=int, output=str)

        @pipe.step(retry=Retry(attempts=1))
        async def work(number: int, item: int = Each((1, 2), key=str, at_least=at_least)) -> int:
            if item == 2 and not better.is_set():
                raise RuntimeError(f"not yet {number}")
            return item

        @pipe.step(after=[work])
        async def count(number: int) -> int:
            raise AssertionError(number)

        @pipe.step
        async def tell(count: int) -> str:
            return f"{count}"

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 1)
            await engine.run_until_empty()
            better.set()
            await engine.app.retry(job.id, override_outputs={"count": 50})
            await engine.run_until_empty()
            assert await job.result() == "50"
            rows = [row for row in await engine.steps(job) if row.run == 2 and row.item == "2"]
            assert [row.state for row in rows] == ["completed"]


class TestAnyOutcomes:
    """The policy, said once more in plain Python, against jobs of any outcomes."""

    @pytest.mark.parametrize("seed", range(3))
    async def test_the_job_ends_as_the_policy_says(self, make_engine: MakeEngine, seed: int):
        chance = random.Random(seed)  # noqa: S311 - no secret
        pipes = [make_lossy(at_least) for at_least in range(4)]
        jobs = [
            (chance.randrange(4), chance.choices("okps", (5, 1, 3, 1), k=chance.randrange(8)))
            for _ in range(40)
        ]
        async with make_engine(pipes) as engine:
            handles = [await engine.submit(pipes[least], given) for least, given in jobs]
            await engine.run_until_empty(skip_waits=True)
            for handle, (least, given) in zip(handles, jobs, strict=True):
                await check_outcome(engine, handle, least, given)


OUTCOMES = {"o": "o", "k": "k", "s": None}
"""Of the items that do not fail: at once, at the second try, and skipped."""


def make_lossy(at_least: int) -> Pipeline[list[str], list[ItemResult[str | None]]]:
    pipe = Pipeline(f"any{at_least}", input=list[str], output=list[ItemResult[str | None]])

    @pipe.step
    async def ways(given: list[str]) -> list[str]:
        return given

    @pipe.step(parallel=2, retry=Retry(attempts=2, first=1, jitter=0))
    async def work(ctx: StepContext, way: str = Each(ways, at_least=at_least)) -> str | None:
        if way == "p" or (way == "k" and ctx.attempt == 1):
            raise (PermanentError if way == "p" else RuntimeError)(way)
        if way == "s":
            raise Skip(way)
        return way

    @pipe.step
    async def gather(work: list[ItemResult[str | None]]) -> list[ItemResult[str | None]]:
        return work

    return pipe


async def check_outcome(
    engine: Engine, handle: JobHandle[Any], least: int, given: list[str]
) -> None:
    rows = [row for row in await engine.steps(handle) if row.item is not None]
    failed = {row.item for row in rows if row.state == "failed"}
    assert failed <= {str(place) for place, way in enumerate(given) if way == "p"}
    if len(given) - given.count("p") >= least:
        expected = [
            ItemResult(str(place), None, ItemError("PERMANENT_ERROR", "permanent", way))
            if way == "p"
            else ItemResult(str(place), OUTCOMES[way])
            for place, way in enumerate(given)
        ]
        assert await handle.result() == expected
        assert len(failed) == given.count("p")
        return
    row = await engine.job(handle)
    assert (row.state, row.cause) == (JobState.FAILED, "permanent_error")
    if len(given) >= least:  # else nothing was tried
        assert least - 2 <= len(given) - len(failed) < least  # two run at once
