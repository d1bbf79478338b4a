"""The end of a worker: what runs may finish, the rest is handed over."""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from time import monotonic
from typing import Any

import pytest

from headrace import JobHandle, JobState, Pipeline, Retry, StepContext, Use
from headrace.testing import Engine
from headrace.worker.timing import Timing
from tests.engine.conftest import MakeEngine
from tests.engine.wire import Executes, wire_to
from tests.waiting import eventually

SCALED = Timing().scaled(1 / 15)
LONG = replace(SCALED, shutdown_grace=timedelta(seconds=10), release=timedelta(seconds=2))
SHORT = replace(SCALED, shutdown_grace=timedelta(seconds=0.3), release=timedelta(seconds=2))


class Gate:
    """A step that says when it runs, and waits to be let on."""

    def __init__(self) -> None:
        self.running = asyncio.Event()
        self.go_on = asyncio.Event()
        self.runs = 0

    async def enter(self) -> None:
        self.runs += 1
        self.running.set()
        await self.go_on.wait()


def gated(gate: Gate) -> Pipeline[int, int]:
    pipe = Pipeline("gated", input=int, output=int)

    @pipe.step
    async def first(number: int) -> int:
        return number

    @pipe.step
    async def second(first: int) -> int:
        await gate.enter()
        return first

    @pipe.step
    async def third(second: int) -> int:
        return second

    return pipe


async def names(engine: Engine, job: JobHandle[Any]) -> list[str]:
    return [row.step for row in await engine.steps(job)]


class TestGrace:
    async def test_a_running_step_finishes_and_nothing_new_starts(self, make_engine: MakeEngine):
        gate = Gate()
        pipe = gated(gate)
        async with make_engine([pipe], timing=LONG) as engine:
            async with engine.worker(concurrency=1) as worker:
                job = await engine.submit(pipe, 7)
                await asyncio.wait_for(gate.running.wait(), 5)
                waiting = await engine.submit(pipe, 8)
                worker.stop()
                gate.go_on.set()
                async with asyncio.timeout(5):
                    assert await worker.wait() == 0
            assert await names(engine, job) == ["first", "second"]
            row = await engine.job(job)
            assert (row.state, row.wait_reason) == (JobState.QUEUED, "released")
            assert len(await engine.events(waiting)) == 1, "it was never claimed"
            await engine.run_until_empty()
            assert await job.result() == 7
        assert gate.runs == 2, "one for each job"

    async def test_a_last_step_that_finishes_ends_its_job(self, make_engine: MakeEngine):
        gate = Gate()
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        async def only(number: int) -> int:
            await gate.enter()
            return number

        async with make_engine([pipe], timing=LONG) as engine:
            async with engine.worker() as worker:
                job = await engine.submit(pipe, 7)
                await asyncio.wait_for(gate.running.wait(), 5)
                worker.stop()
                gate.go_on.set()
                await worker.wait()
            assert await job.result() == 7

    async def test_what_does_not_finish_in_time_is_handed_back_and_not_charged(
        self, make_engine: MakeEngine
    ):
        gate = Gate()
        pipe = gated(gate)
        async with make_engine([pipe], timing=SHORT) as engine:
            async with engine.worker() as worker:
                job = await engine.submit(pipe, 7)
                await asyncio.wait_for(gate.running.wait(), 5)
                worker.stop()
                asked = monotonic()
                async with asyncio.timeout(5):
                    assert await worker.wait() == 0
                assert monotonic() - asked < 2.3
            row = await engine.job(job)
            assert (row.state, row.wait_reason, row.lease_losses, row.suspicion) == (
                JobState.QUEUED,
                "released",
                0,
                0,
            )
            assert await engine.tries(job) == []
            assert await names(engine, job) == ["first"]
            gate.go_on.set()
            await engine.run_until_empty()
            assert await job.result() == 7
            [first, second, _] = await engine.steps(job)
            assert first.token < second.token, "the first step was not run again"

    async def test_a_second_word_ends_the_grace(self, make_engine: MakeEngine):
        gate = Gate()
        pipe = gated(gate)
        async with make_engine([pipe], timing=LONG) as engine:
            async with engine.worker() as worker:
                job = await engine.submit(pipe, 7)
                await asyncio.wait_for(gate.running.wait(), 5)
                worker.stop()
                worker.stop()
                async with asyncio.timeout(5):
                    await worker.wait()
            assert (await engine.job(job)).wait_reason == "released"

    async def test_a_thread_that_does_not_stop_costs_its_job_nothing(self, make_engine: MakeEngine):
        started, go_on = threading.Event(), threading.Event()
        runs: list[int] = []
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        def block(number: int) -> int:
            runs.append(number)
            started.set()
            if len(runs) == 1:
                go_on.wait(10)
            return number

        timing = replace(SHORT, cancel_kill=timedelta(seconds=5))
        async with make_engine([pipe], timing=timing) as engine:
            try:
                async with engine.worker() as worker:
                    job = await engine.submit(pipe, 7)
                    await eventually(started.is_set)
                    worker.stop()
                    async with asyncio.timeout(5):
                        assert await worker.wait() == 0
                row = await engine.job(job)
                assert (row.state, row.wait_reason, row.lease_losses) == (
                    JobState.QUEUED,
                    "released",
                    0,
                )
                await engine.run_until_empty()
                assert await job.result() == 7
            finally:
                go_on.set()

    async def test_a_job_that_waits_in_place_keeps_its_wait(self, make_engine: MakeEngine):
        failed = asyncio.Event()
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step(retry=Retry(first=30, jitter=0))
        async def work(number: int, ctx: StepContext) -> int:
            if ctx.attempt == 1:
                failed.set()
                raise RuntimeError
            return number

        timing = replace(LONG, wait_in_place=timedelta(minutes=1))
        async with make_engine([pipe], timing=timing) as engine:
            async with engine.worker() as worker:
                job = await engine.submit(pipe, 7)
                await asyncio.wait_for(failed.wait(), 5)
                await eventually(lambda: engine.tries(job))
                worker.stop()
                async with asyncio.timeout(5):
                    await worker.wait()
            assert (await engine.job(job)).state is JobState.QUEUED
            async with engine.worker(timing=SCALED):
                await asyncio.sleep(0.3)
                assert (await engine.job(job)).state is JobState.QUEUED, "it is not yet time"
                await engine.move_clock(timedelta(seconds=31))
                assert await job.result(timeout=5) == 7
            assert len(await engine.tries(job)) == 1


class TestClaims:
    async def test_one_that_is_on_its_way_is_waited_for_and_handed_back(
        self, make_engine: MakeEngine
    ):
        pipe = gated(Gate())
        async with make_engine([pipe], timing=LONG) as engine, wire_to(engine.database) as wire:
            job = await engine.submit(pipe, 7)
            wire.hold_answer("claims", Executes("nextval('headrace.tokens')"))
            async with (
                engine.app_with([pipe], database=wire.address) as app,
                engine.worker(app=app) as worker,
            ):
                await asyncio.wait_for(wire.fired.wait(), 5)
                await eventually(lambda: is_in(engine, job, JobState.RUNNING))
                worker.stop()
                await asyncio.sleep(0.1)
                wire.release()
                async with asyncio.timeout(5):
                    await worker.wait()
            row = await engine.job(job)
            assert (row.state, row.wait_reason, row.lease_losses) == (
                JobState.QUEUED,
                "released",
                0,
            )


async def is_in(engine: Engine, job: JobHandle[Any], state: JobState) -> bool:
    return (await engine.job(job)).state is state


class TestClients:
    async def test_they_are_closed_after_the_last_step(self, make_engine: MakeEngine):
        trace: list[str] = []
        gate = Gate()

        @asynccontextmanager
        async def client() -> AsyncIterator[int]:
            yield 1
            trace.append("closed")

        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        async def work(number: int, one: int = Use(client)) -> int:
            await gate.enter()
            trace.append("used")
            return number + one

        async with make_engine([pipe], timing=LONG) as engine, engine.worker() as worker:
            await engine.submit(pipe, 7)
            await asyncio.wait_for(gate.running.wait(), 5)
            worker.stop()
            await asyncio.sleep(0.1)
            gate.go_on.set()
            await worker.wait()
        assert trace == ["used", "closed"]


class TestDrain:
    async def test_a_worker_that_is_drained_finishes_and_ends(self, make_engine: MakeEngine):
        gate = Gate()
        pipe = gated(gate)
        async with make_engine([pipe], timing=LONG) as engine:
            async with engine.worker() as worker:
                job = await engine.submit(pipe, 7)
                await asyncio.wait_for(gate.running.wait(), 5)
                await engine.app.drain_workers([worker.number])
                await eventually(worker.worker.life.over.is_set)
                waiting = await engine.submit(pipe, 8)
                gate.go_on.set()
                async with asyncio.timeout(5):
                    assert await worker.wait() == 0
            assert await names(engine, job) == ["first", "second"]
            assert len(await engine.events(waiting)) == 1


holding = Pipeline("holding", input=int, output=int)


@holding.step
async def quick(number: int) -> int:
    return number


@holding.step
async def slow(quick: int, ctx: StepContext) -> int:
    if ctx.run == 1:
        await asyncio.sleep(3600)
    return quick


class TestProcesses:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    async def test_a_signal_hands_the_jobs_over_and_ends_the_process(
        self, make_engine: MakeEngine, number: int
    ):
        async with make_engine([holding], timing=SHORT) as engine:
            job = await engine.submit(holding, 7)
            async with engine.spawn(f"{__name__}:holding") as process:
                await eventually(lambda: names(engine, job))
                asked = monotonic()
                process.send_signal(number)
                assert await process.wait() == 0
                assert monotonic() - asked < 0.3 + 2 + 1
            row = await engine.job(job)
            assert (row.state, row.wait_reason, row.lease_losses) == (
                JobState.QUEUED,
                "released",
                0,
            )
            async with engine.connection() as connection:
                left = await connection.fetchval("select count(*) from headrace.claims")
                stopped = await connection.fetchval(
                    "select stopped_at is not null from headrace.workers where id = $1",
                    process.number,
                )
            assert (left, stopped) == (0, True)
