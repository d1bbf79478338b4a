"""Deaths at each write point, and steps that block the loop of their worker."""

from collections import Counter
from pathlib import Path

import pytest

from headrace.testing import Engine, StepRow
from headrace.worker.watchdog import EXIT_CODE
from tests.engine.conftest import MakeEngine
from tests.engine.mortal import ALL, FOLDER, blocking, everything
from tests.waiting import eventually

MORTAL = "tests.engine.mortal:ALL"


def effects(folder: Path) -> list[str]:
    path = folder / "effects"
    return path.read_text().splitlines() if path.exists() else []


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
            await engine.crash_at(point, app=MORTAL, nth=nth)
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
                engine.spawn(MORTAL, environment={FOLDER: str(folder)}),
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
            async with engine.spawn(MORTAL, environment={FOLDER: str(folder)}) as process:
                assert await process.wait(20) == EXIT_CODE
            async with engine.worker(queues=["none"]):
                await eventually(lambda: is_queued(engine, job.id))
            assert (await engine.job(job)).lease_losses == 1
            assert await engine.steps(job) == []


async def is_queued(engine: Engine, job: str) -> bool:
    return (await engine.job(job)).state == "queued"
