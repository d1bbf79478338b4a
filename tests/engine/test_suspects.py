"""Workers that die: what is charged for it, and to whom."""

import asyncio
import itertools
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from headrace import JobHandle, JobState, Pipeline, StepContext
from headrace.telemetry.job_events import CrashCharged, JobRecovered, JobSuspected
from headrace.testing import Engine
from headrace.worker.timing import Timing
from tests.engine.conftest import MakeEngine
from tests.engine.deadly import ALL, FOLDER, POISON, poison, poisoned_item, poisoned_plan, slow
from tests.listening import listening
from tests.waiting import eventually

DEADLY = "tests.engine.deadly:ALL"
FAST = replace(
    Timing().scaled(1 / 15),
    suspect_first=timedelta(seconds=0.2),
    suspect_next=timedelta(seconds=0.4),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def runs(folder: Path, name: str) -> int:
    path = folder / name
    return len(path.read_text()) if path.exists() else 0


@asynccontextmanager
async def fleet(engine: Engine, folder: Path) -> AsyncIterator[asyncio.Task[None]]:
    """A worker process that is replaced whenever it dies, as a supervisor would."""

    async def keep() -> None:
        while True:
            async with engine.spawn(DEADLY, environment={FOLDER: str(folder)}) as process:
                await process.wait(60)

    task = asyncio.create_task(keep())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def spawn(engine: Engine, folder: Path) -> Any:  # noqa: ANN401 - the context manager of a process
    return engine.spawn(DEADLY, environment={FOLDER: str(folder)})


async def is_in(engine: Engine, job: JobHandle[Any], state: JobState) -> bool:
    return (await engine.job(job)).state is state


class TestFirstLoss:
    async def test_it_costs_nothing_and_stored_steps_do_not_run_again(
        self, make_engine: MakeEngine, folder: Path
    ):
        async with make_engine(ALL, timing=FAST) as engine:
            job = await engine.submit(slow, 1)
            async with spawn(engine, folder) as process:
                await eventually(lambda: runs(folder, "second 1"))
                await eventually(lambda: engine.steps(job))
                process.kill()
                await process.wait()
            (folder / "go on").touch()
            with listening() as told:
                async with engine.worker(queues=["none"]), spawn(engine, folder):  # it is a reaper
                    assert await job.result(timeout=10) == 1
            row = await engine.job(job)
            assert (row.lease_losses, row.suspicion) == (1, 1)
            assert await engine.tries(job) == []
            assert {type(event) for event in told} & {CrashCharged, JobSuspected} == set()
        assert runs(folder, "first 1") == 1
        assert runs(folder, "second 1") == 2

    async def test_the_jobs_of_a_killed_worker_run_elsewhere_at_once(
        self, make_engine: MakeEngine, folder: Path
    ):
        async with make_engine(ALL, timing=FAST) as engine:
            jobs = await engine.submit_many(slow, range(5))
            async with spawn(engine, folder) as process, spawn(engine, folder):
                await eventually(lambda: all(runs(folder, f"second {n}") for n in range(5)))
                (folder / "go on").touch()
                process.kill()
                async with asyncio.timeout(
                    6
                ):  # 6 s at full speed; this is a fifteenth, and a start
                    assert [await job.result() for job in jobs] == list(range(5))


@pytest.mark.timeout(150)
class TestPoison:
    async def test_a_step_that_kills_its_process_is_run_alone_and_fails_after_three_charges(
        self, make_engine: MakeEngine, folder: Path
    ):
        async with make_engine(ALL, timing=FAST) as engine:
            innocents = await engine.submit_many(poison, range(5))
            job = await engine.submit(poison, POISON)
            async with fleet(engine, folder):
                await eventually(lambda: is_in(engine, job, JobState.FAILED), within=90)
                for innocent in innocents:
                    await innocent.result(timeout=40)
            row = await engine.job(job)
            assert row.cause == "worker_lost"
            assert row.error is not None
            assert (row.error["step"], row.error["code"]) == ("kill", "WORKER_LOST")
            assert await engine.tries(job) == []
            for innocent in innocents:
                assert (await engine.job(innocent)).state is JobState.COMPLETED
            events = await engine.events(job)
            charges = [event.metadata["charges"] for event in events if event.metadata]
            assert charges == [1, 2, 3]
            waits = [
                later.at - event.at
                for event, later in itertools.pairwise(events)
                if event.reason == "recovered"
            ]
            # Unnoticed, watched, and then alone three times.
            assert len(waits) == 4
            assert waits[1] >= FAST.suspect_first
            assert min(waits[2:]) >= FAST.suspect_next
            async with engine.connection() as connection:
                letter = await connection.fetchrow("select cause, step from headrace.dead_letters")
            assert tuple(letter or ()) == ("worker_lost", "kill")
        assert runs(folder, f"kill {POISON}") == 5
        assert runs(folder, f"before {POISON}") == 1, "its checkpoint was kept all the time"

    async def test_a_poisoned_item_is_found_among_its_siblings(
        self, make_engine: MakeEngine, folder: Path
    ):
        async with make_engine(ALL, timing=FAST) as engine:
            job = await engine.submit(poisoned_item, 3)
            async with fleet(engine, folder):
                await eventually(lambda: is_in(engine, job, JobState.FAILED), within=90)
            row = await engine.job(job)
            assert row.cause == "worker_lost"
            assert row.error is not None
            assert (row.error["step"], row.error["item"]) == ("work", "3")
            done = {step.item for step in await engine.steps(job) if step.state == "completed"}
            assert done >= {"1", "2"}

    async def test_a_key_function_that_kills_its_process_fails_the_job_too(
        self, make_engine: MakeEngine, folder: Path
    ):
        async with make_engine(ALL, timing=FAST) as engine:
            job = await engine.submit(poisoned_plan, 3)
            async with fleet(engine, folder):
                await eventually(lambda: is_in(engine, job, JobState.FAILED), within=90)
            row = await engine.job(job)
            assert row.error is not None
            assert (row.cause, row.error["step"]) == ("worker_lost", "each")
        assert runs(folder, "key 3") == 5


class TestWatchedJobs:
    async def test_starts_are_on_record_before_the_step_runs(
        self, make_engine: MakeEngine, folder: Path
    ):
        seen: list[list[str]] = []
        pipe = Pipeline("slow", input=int, output=int)

        @pipe.step
        async def first(number: int) -> int:
            return number

        @pipe.step
        async def second(first: int, ctx: StepContext) -> int:
            async with engine.connection() as connection:
                rows = await connection.fetch(
                    "select step from headrace.progress where job = $1 and recorded", ctx.job_id
                )
            seen.append([row["step"] for row in rows])
            return first

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 1)
            async with spawn(engine, folder) as process:
                await eventually(lambda: runs(folder, "second 1"))
                process.kill()
                await process.wait()
            with listening() as told:
                await engine.run_until_empty()
            assert len(told.of(JobRecovered)) == 1
            assert await job.result() == 1
            async with engine.connection() as connection:
                left = await connection.fetchval("select count(*) from headrace.progress")
            assert left == 0, "a start that ended is taken off the record"
        assert seen == [["second"]]


class TestZombies:
    async def test_a_frozen_worker_that_wakes_can_do_no_harm(
        self, make_engine: MakeEngine, folder: Path
    ):
        async with make_engine(ALL, timing=FAST) as engine:
            job = await engine.submit(slow, 1)
            async with spawn(engine, folder) as frozen:
                await eventually(lambda: runs(folder, "second 1"))
                frozen.send_signal(signal.SIGSTOP)
                async with spawn(engine, folder) as other:
                    await eventually(lambda: runs(folder, "second 1") == 2, within=15)
                    (folder / "go on").touch()
                    assert await job.result(timeout=10) == 1
                    before = await engine.events(job)
                    frozen.send_signal(signal.SIGCONT)
                    await eventually(lambda: is_back(engine, frozen.pid), within=20)
                    assert await engine.events(job) == before
            [record] = await engine.records(job)
            assert record.worker == other.number
            assert {row.worker for row in await engine.steps(job)} == {
                frozen.number,
                other.number,
            }, "the first step was stored by the one, the second by the other"
            finished = [
                event for event in await engine.events(job) if event.to_state == "completed"
            ]
            assert [event.worker for event in finished] == [other.number]


async def is_back(engine: Engine, pid: int) -> bool:
    """Whether a worker that was marked lost has returned with another number."""
    async with engine.connection() as connection:
        lives = await connection.fetch(
            "select lost_at is not null as lost from headrace.workers where pid = $1 order by id",
            pid,
        )
    return [row["lost"] for row in lives] == [True, False]
