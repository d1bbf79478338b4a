"""Deaths at each write point, and steps that block the loop of their worker."""

import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from headrace import Each, Pipeline, Retry, StepContext
from headrace.testing import Engine, StepRow
from headrace.worker.watchdog import EXIT_CODE
from tests.engine.conftest import MakeEngine
from tests.waiting import eventually

HERE = __name__
FOLDER = "HEADRACE_TEST_FOLDER"


def note(ctx: StepContext, name: str) -> None:
    """Write down an effect, with the key that an outside service would be given."""
    with (Path(os.environ[FOLDER]) / "effects").open("a") as file:
        file.write(f"{name} {ctx.idempotency_key}\n")


def effects(folder: Path) -> list[str]:
    path = folder / "effects"
    return path.read_text().splitlines() if path.exists() else []


everything = Pipeline("everything", input=int, output=str)


@everything.step
async def begin(number: int, ctx: StepContext) -> list[int]:
    note(ctx, "begin")
    return list(range(number))


@everything.step(parallel=2)
async def item(ctx: StepContext, number: int = Each(begin)) -> int:
    note(ctx, f"item {number}")
    return number


async def pay(number: int) -> int:
    return number


@everything.step(retry=Retry(attempts=3, first=0.1))
async def paid(item: list[int], ctx: StepContext) -> int:
    note(ctx, "paid")
    total = await ctx.once("payment", pay, sum(item))
    if ctx.attempt == 1:
        raise RuntimeError
    return total


@everything.step
async def end(paid: int, ctx: StepContext) -> str:
    note(ctx, "end")
    return f"{paid}"


blocking = Pipeline("blocking", input=float, output=int)


@blocking.step
async def block(seconds: float, ctx: StepContext) -> int:
    note(ctx, "block")
    time.sleep(seconds)  # noqa: ASYNC251 - the mistake
    return ctx.attempt


ALL: list[Any] = [everything, blocking]

POINTS = [
    ("claim.after_commit", 1),
    *(("attempt.after_effect", nth) for nth in (1, 2, 5)),
    *((f"ledger.checkpoint.{when}", nth) for when in ("before", "after_commit") for nth in (1, 2)),
    *((f"ledger.change.{when}", nth) for when in ("before", "after_commit") for nth in (1, 2, 3)),
    *((f"ledger.finish.{when}", 1) for when in ("before", "after_commit")),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the steps of all processes write down what they do."""
    monkeypatch.setenv(FOLDER, str(tmp_path))
    return tmp_path


class TestDeathAtEachPoint:
    @pytest.mark.parametrize(("point", "nth"), POINTS, ids=[f"{p} {n}" for p, n in POINTS])
    async def test_the_job_ends_once_and_nothing_that_is_stored_runs_again(
        self, make_engine: MakeEngine, folder: Path, point: str, nth: int
    ):
        async with make_engine(ALL) as engine:
            job = await engine.submit(everything, 4)
            await engine.crash_at(point, app=f"{HERE}:ALL", nth=nth)
            stored = {name_of(row) for row in await engine.steps(job) if row.state == "completed"}
            records = await engine.records(job)
            before = effects(folder)
            await engine.run_until_empty()
            assert await job.result() == "6"
            assert [row for row in await engine.records(job) if row in records] == records
            assert len(await engine.records(job)) == 1
            ends = [e for e in await engine.events(job) if e.to_state == "completed"]
            assert len(ends) == 1
        again = {line.rpartition(" ")[0] for line in effects(folder)[len(before) :]}
        assert not again & stored
        done = Counter(line for line in effects(folder) if not line.startswith("paid"))
        assert set(done.values()) <= {1, 2}, "an effect is made twice at most, under the same key"
        assert len({line.rpartition(" ")[2] for line in done}) == len(done)


def name_of(row: StepRow) -> str:
    return row.step if row.item is None else f"{row.step} {row.item}"


class TestBlockedLoop:
    async def test_a_step_that_blocks_longer_than_the_lease_costs_no_lease(
        self, make_engine: MakeEngine, folder: Path
    ):
        async with make_engine(ALL) as engine:
            job = await engine.submit(blocking, 3.0)
            async with (
                engine.spawn(f"{HERE}:ALL", environment={FOLDER: str(folder)}),
                engine.worker(queues=["none"]),  # it would take the job from a worker that is dead
            ):
                assert await job.result(timeout=15) == 1
            row = await engine.job(job)
            assert row.lease_losses == 0
        assert len(effects(folder)) == 1

    async def test_a_loop_that_stands_still_for_good_ends_its_process(
        self, make_engine: MakeEngine, folder: Path
    ):
        async with make_engine(ALL) as engine:
            job = await engine.submit(blocking, 3600.0)
            async with engine.spawn(f"{HERE}:ALL", environment={FOLDER: str(folder)}) as process:
                assert await process.wait(20) == EXIT_CODE
            async with engine.worker(queues=["none"]):
                await eventually(lambda: is_queued(engine, job.id))
            assert (await engine.job(job)).lease_losses == 1
            assert await engine.steps(job) == []


async def is_queued(engine: Engine, job: str) -> bool:
    return (await engine.job(job)).state == "queued"
