"""Steps that go on when they are told to stop."""

import asyncio
import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from headrace import JobState, Pipeline, Retry, StepContext, SyncContext, Transaction
from headrace.errors import LeaseLostError
from headrace.telemetry.step_events import StepAbandoned
from headrace.worker.timing import Timing
from tests.engine.conftest import MakeEngine
from tests.listening import listening
from tests.waiting import eventually

SCALED = Timing().scaled(1 / 15)
ONCE = Retry(attempts=1)


async def has_failed(job: object) -> bool:
    return (await job.status()).state is JobState.FAILED  # type: ignore[attr-defined]


class Stubborn:
    """A step that goes on when it is cancelled, until the test lets it."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.runs = 0
        self.after: list[object] = []

    async def hang(self) -> None:
        """Swallow every cancellation."""
        while not self.go_on.is_set():
            try:
                await self.go_on.wait()
            except asyncio.CancelledError:
                continue


class TestStepsThatWillNotStop:
    async def test_one_is_abandoned_and_its_job_goes_on_elsewhere(self, make_engine: MakeEngine):
        stubborn = Stubborn()
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step(timeout=0.1)
        async def work(number: int) -> int:
            stubborn.runs += 1
            if stubborn.runs == 1:
                await stubborn.hang()
                return -1
            return number

        # Even where its next try would be made in the same slot.
        timing = replace(SCALED, wait_in_place=timedelta(minutes=1))
        async with make_engine([pipe], timing=timing) as engine:
            job = await engine.submit(pipe, 7)
            with listening() as told:
                async with engine.worker():
                    await engine.run_until_empty(skip_waits=True)
                    assert await job.result() == 7
                    stubborn.go_on.set()
            [abandoned] = told.of(StepAbandoned)
            assert (str(abandoned.job_id), abandoned.step) == (job.id, "work")
            first, *_, last = [e for e in await engine.events(job) if e.to_state == "running"]
            assert first.token != last.token
            [step] = await engine.steps(job)
            assert (step.output, step.token) == (7, last.token)

    async def test_what_it_still_writes_is_refused(self, make_engine: MakeEngine):
        stubborn = Stubborn()
        done = asyncio.Event()
        pipe = Pipeline("pipe", input=int, output=int)

        async def value(number: int) -> int:
            return number

        @pipe.step(timeout=0.1)
        async def work(number: int, ctx: StepContext, tx: Transaction) -> int:
            stubborn.runs += 1
            if stubborn.runs > 1:
                return number
            await stubborn.hang()
            try:
                for write in (
                    lambda: ctx.once("late", value, number),
                    lambda: ctx.submit(pipe, number),
                ):
                    with pytest.raises(LeaseLostError):
                        await write()
                    stubborn.after.append("refused")
                await tx.execute("create table late ()")
            finally:
                done.set()
            return -1

        async with make_engine([pipe]) as engine, engine.worker():
            job = await engine.submit(pipe, 7)
            await engine.run_until_empty(skip_waits=True)
            assert await job.result() == 7
            stubborn.go_on.set()
            await asyncio.wait_for(done.wait(), 5)
            assert await engine.records(job) == []
            assert len(await engine.jobs()) == 1
            await eventually(lambda: is_missing(engine, "late"))
            assert [row.output for row in await engine.steps(job)] == [7]
        assert stubborn.after == ["refused", "refused"]

    async def test_a_thread_that_goes_on_is_abandoned_too(self, make_engine: MakeEngine):
        go_on, late = threading.Event(), threading.Event()
        runs: list[int] = []
        refused: list[bool] = []
        pipe = Pipeline("pipe", input=int, output=int)

        def value() -> int:
            return 1

        @pipe.step(timeout=0.1)
        def work(number: int, ctx: SyncContext) -> int:
            runs.append(number)
            if len(runs) > 1:
                return number
            assert go_on.wait(10)
            try:
                ctx.once("late", value)
            except LeaseLostError:
                refused.append(ctx.cancelled)
            late.set()
            return -1

        async with make_engine([pipe]) as engine:
            with listening() as told:
                async with engine.worker():
                    job = await engine.submit(pipe, 7)
                    await engine.run_until_empty(skip_waits=True)
                    assert await job.result() == 7
                    assert len(told.of(StepAbandoned)) == 1
                    go_on.set()
                    await eventually(late.is_set)
            assert await engine.records(job) == []
        assert refused == [True]

    async def test_the_process_is_replaced_when_they_fill_half_the_slots(
        self, make_engine: MakeEngine
    ):
        stubborn = Stubborn()
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step(timeout=0.1, retry=ONCE)
        async def work(number: int) -> int:
            await stubborn.hang()
            return number

        async with make_engine([pipe]) as engine, engine.worker(concurrency=4) as worker:
            first = await engine.submit(pipe, 1)
            await eventually(lambda: has_failed(first))
            assert worker.is_running, "one of four is not half of them"
            await engine.submit(pipe, 2)
            async with asyncio.timeout(5):
                assert await worker.wait() == 70
            stubborn.go_on.set()

    async def test_one_that_ends_after_all_gives_its_slot_back(self, make_engine: MakeEngine):
        gates = [Stubborn() for _ in range(4)]
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step(timeout=0.1, retry=ONCE)
        async def work(number: int) -> int:
            await gates[number].hang()
            return number

        async with make_engine([pipe]) as engine, engine.worker(concurrency=4) as worker:
            for number, gate in enumerate(gates):
                job = await engine.submit(pipe, number)
                await eventually(lambda job=job: has_failed(job))
                gate.go_on.set()
                await asyncio.sleep(0)
            assert worker.is_running


async def is_missing(engine: object, table: str) -> bool:
    async with engine.connection() as connection:  # type: ignore[attr-defined]
        return await connection.fetchval("select to_regclass($1)", table) is None
