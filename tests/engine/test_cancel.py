"""Cancelling jobs: queued ones, running ones, and those that are just about to end."""

import asyncio
import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from headrace import CancelJob, Each, JobState, Pipeline, Retry, StepContext, SyncContext
from headrace.errors import JobCancelledError, TransitionError
from headrace.model.job import StepState
from headrace.worker.timing import Timing
from tests.engine.conftest import MakeEngine
from tests.waiting import eventually, promptly

CALM = replace(
    Timing().scaled(1 / 15),
    lease=timedelta(minutes=6),
    heartbeat=timedelta(minutes=1),
    presence_grace=timedelta(minutes=2),
    fence_no_new=timedelta(minutes=4),
    fence_cancel=timedelta(minutes=5),
)
"""No heartbeat comes while a test runs, to tell a worker of what was asked for."""


class TestQueued:
    async def test_one_is_cancelled_at_once_and_never_runs(self, make_engine: MakeEngine):
        ran: list[int] = []
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        async def work(number: int) -> int:
            ran.append(number)
            return number

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 1)
            assert await job.cancel("not needed", actor="ann") is JobState.CANCELLED
            await engine.submit(pipe, 2)
            await engine.run_until_empty()
            assert (await engine.job(job)).state is JobState.CANCELLED
            assert (await engine.events(job))[-1].actor == "ann"
            with pytest.raises(JobCancelledError):
                await job.result()
        assert ran == [2]

    async def test_one_that_waits_for_a_retry_too(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step(retry=Retry(first=60, jitter=0))
        async def fail(number: int) -> int:
            raise RuntimeError(f"{number}")

        async with make_engine([pipe]) as engine, engine.worker():
            job = await engine.submit(pipe, 1)
            await eventually(lambda: engine.tries(job))
            await eventually(lambda: is_in(job, JobState.QUEUED))
            assert await job.cancel() is JobState.CANCELLED
            await engine.move_clock(timedelta(minutes=5))
            await engine.run_until_empty()
            assert len(await engine.tries(job)) == 1


async def is_in(job: object, state: JobState) -> bool:
    return (await job.status()).state is state  # type: ignore[attr-defined]


class TestRunning:
    async def test_its_step_is_told_soon_and_outputs_are_kept(self, make_engine: MakeEngine):
        started, told = asyncio.Event(), asyncio.Event()
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        async def first(number: int) -> int:
            return number

        @pipe.step
        async def second(first: int) -> int:
            started.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                told.set()
                raise
            return first

        @pipe.step
        async def third(second: int) -> int:
            return second

        async with make_engine([pipe], timing=CALM) as engine, engine.worker():
            job = await engine.submit(pipe, 7)
            await asyncio.wait_for(started.wait(), 10)
            assert await job.cancel("enough", actor="ann") is JobState.RUNNING
            await asyncio.wait_for(told.wait(), 10)
            with pytest.raises(JobCancelledError):
                await job.result(timeout=10)
            status = await job.status()
            assert (status.cancelled_by, status.cancel_reason) == ("ann", "enough")
            assert [step.state for step in status.steps] == [
                StepState.COMPLETED,
                StepState.SKIPPED,
                StepState.SKIPPED,
            ]
            assert [row.output for row in await engine.steps(job)] == [7]
            assert await engine.tries(job) == []

    async def test_a_lost_notification_is_made_up_for_by_the_heartbeat(
        self, make_engine: MakeEngine
    ):
        started = asyncio.Event()
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        async def work(number: int) -> int:
            started.set()
            await asyncio.Event().wait()
            return number

        async with make_engine([pipe]) as engine, engine.worker():
            job = await engine.submit(pipe, 7)
            await asyncio.wait_for(started.wait(), 5)
            async with engine.connection() as connection:
                await connection.execute(
                    "update headrace.jobs set cancel_requested_at = now() where id = $1", job.id
                )
            await promptly(lambda: is_in(job, JobState.CANCELLED), within=3)

    async def test_a_plain_step_sees_it_in_its_context(self, make_engine: MakeEngine):
        started = threading.Event()
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        def work(number: int, ctx: SyncContext) -> int:
            started.set()
            while not ctx.cancelled:
                threading.Event().wait(0.005)
            raise RuntimeError("stopped" * number)

        async with make_engine([pipe]) as engine, engine.worker():
            job = await engine.submit(pipe, 1)
            await eventually(started.is_set)
            await job.cancel()
            await eventually(lambda: is_in(job, JobState.CANCELLED))
            assert await engine.tries(job) == [], "what a cancel provokes is no failed try"

    async def test_all_items_that_run_are_told_and_no_more_start(self, make_engine: MakeEngine):
        started: list[int] = []
        told: list[int] = []
        full = asyncio.Event()
        pipe = Pipeline("pipe", input=int, output=list[int])

        @pipe.step(parallel=3)
        async def work(number: int, item: int = Each((1, 2, 3, 4, 5))) -> int:
            started.append(item)
            if len(started) == 3:
                full.set()
            try:
                await asyncio.Event().wait()
            finally:
                told.append(item)
            return number

        async with make_engine([pipe]) as engine, engine.worker():
            job = await engine.submit(pipe, 1)
            await asyncio.wait_for(full.wait(), 5)
            await job.cancel()
            await eventually(lambda: is_in(job, JobState.CANCELLED))
        assert sorted(told) == sorted(started)
        assert len(started) == 3

    async def test_cancelling_again_changes_nothing(self, make_engine: MakeEngine):
        started = asyncio.Event()
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        async def work(number: int) -> int:
            started.set()
            await asyncio.Event().wait()
            return number

        async with make_engine([pipe]) as engine, engine.worker():
            job = await engine.submit(pipe, 1)
            await asyncio.wait_for(started.wait(), 5)
            await job.cancel(actor="ann")
            await job.cancel(actor="bob")
            await eventually(lambda: is_in(job, JobState.CANCELLED))
            assert await job.cancel() is JobState.CANCELLED
            assert (await job.status()).cancelled_by == "ann"


class TestRace:
    async def test_a_job_that_finishes_finds_the_request_and_ends_as_cancelled(
        self, make_engine: MakeEngine
    ):
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        async def work(number: int, ctx: StepContext) -> int:
            async with engine.connection() as connection:  # stored, and not told to the worker yet
                await connection.execute(
                    "update headrace.jobs set cancel_requested_at = now(),"
                    " cancel_requested_by = 'ann' where id = $1",
                    ctx.job_id,
                )
            return number

        async with make_engine([pipe], timing=CALM) as engine:
            job = await engine.submit(pipe, 7)
            await engine.run_until_empty()
            assert (await engine.job(job)).state is JobState.CANCELLED
            assert [row.output for row in await engine.steps(job)] == [7]
            assert [event.to_state for event in await engine.events(job)][1:] == [
                "running",
                "cancelled",
            ]

    @pytest.mark.parametrize("ending", ["fail", "wait"])
    async def test_so_do_one_that_fails_and_one_that_goes_back(
        self, make_engine: MakeEngine, ending: str
    ):
        pipe = Pipeline("pipe", input=str, output=str)

        @pipe.step(retry=Retry(attempts=1 if ending == "fail" else 3, first=60, jitter=0))
        async def work(ending: str, ctx: StepContext) -> str:
            async with engine.connection() as connection:
                await connection.execute(
                    "update headrace.jobs set cancel_requested_at = now() where id = $1",
                    ctx.job_id,
                )
            raise RuntimeError(ending)

        async with make_engine([pipe], timing=CALM) as engine:
            job = await engine.submit(pipe, ending)
            await engine.run_until_empty()
            assert (await engine.job(job)).state is JobState.CANCELLED

    async def test_a_completed_job_cannot_be_cancelled(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        async def work(number: int) -> int:
            return number

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 7)
            await engine.run_until_empty()
            with pytest.raises(TransitionError):
                await job.cancel()
            assert await job.result() == 7

    async def test_many_cancels_and_finishes_at_once_leave_whole_histories(
        self, make_engine: MakeEngine
    ):
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        async def work(number: int) -> int:
            await asyncio.sleep(number % 7 / 1000)
            return number

        async with make_engine([pipe]) as engine, engine.worker(concurrency=50):
            jobs = await engine.submit_many(pipe, range(100))
            await asyncio.gather(*(job.cancel() for job in jobs), return_exceptions=True)
            await engine.run_until_empty()
            async with engine.connection() as connection:
                wrong = await connection.fetch(
                    "select job.id, job.state, array_agg(event.to_state order by event.seq) as path"
                    " from headrace.jobs as job join headrace.job_events as event"
                    " on event.job = job.id group by job.id"
                    " having (array_agg(event.to_state order by event.seq desc))[1] <> job.state"
                    " or count(*) <> job.seq or count(*) > 3"
                )
                states = await connection.fetch("select distinct state from headrace.jobs")
            assert wrong == []
            assert {row["state"] for row in states} <= {"cancelled", "completed"}


class TestCancelJob:
    async def test_a_step_can_cancel_its_job_and_its_siblings_are_told(
        self, make_engine: MakeEngine
    ):
        told = asyncio.Event()
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        async def early(number: int) -> int:
            return number

        @pipe.step
        async def wait(early: int) -> int:
            try:
                await asyncio.Event().wait()
            finally:
                told.set()
            return early

        @pipe.step
        async def decide(early: int) -> int:
            raise CancelJob(f"{early} is not worth it")

        @pipe.step
        async def join(wait: int, decide: int) -> int:
            return wait + decide

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 7)
            await engine.run_until_empty(timeout=5)
            assert (await engine.job(job)).state is JobState.CANCELLED
            assert [row.step for row in await engine.steps(job)] == ["early"]
            assert told.is_set()
            assert (await engine.events(job))[-1].actor == "step"
            error = (await job.status()).error
            assert error is not None
            assert error.message == "7 is not worth it"
            assert "7 is not worth it" in str((await job.status()).error)
            assert (await engine.events(job))[-1].actor == "step"

    async def test_items_that_had_not_begun_are_not_taken_for_stuck(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=list[int])

        @pipe.step(parallel=10)
        async def work(number: int, item: int = Each(list(range(10)))) -> int:
            raise CancelJob(f"{item} of {number} is enough")

        async with make_engine([pipe]) as engine, engine.worker() as worker:
            for number in range(2):
                job = await engine.submit(pipe, number)
                with pytest.raises(JobCancelledError):
                    await job.result(timeout=20)
            load = worker.worker.load()
            assert load is not None
            assert load.abandoned == 0
            assert worker.is_running


class TestDeadWorkers:
    async def test_a_cancelled_job_of_a_dead_worker_is_not_run_again(self, make_engine: MakeEngine):
        async with make_engine([endless]) as engine:
            job = await engine.submit(endless, 1)
            async with engine.spawn(f"{__name__}:endless") as process:
                await eventually(lambda: is_in(job, JobState.RUNNING))
                process.kill()
                await process.wait()
            await job.cancel(actor="ann")
            await engine.run_until_empty()
            assert (await engine.job(job)).state is JobState.CANCELLED
            last = (await engine.events(job))[-1]
            assert (last.to_state, last.actor) == ("cancelled", "ann")


endless = Pipeline("endless", input=int, output=int)


@endless.step
async def never(number: int) -> int:
    await asyncio.Event().wait()
    return number
