"""Steps behind a breaker: an outage makes their jobs wait, and costs no attempt."""

from __future__ import annotations

import asyncio
import contextlib
import os
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from headrace import CircuitBreaker, JobHandle, JobState, Pipeline, Retry, StepContext, SyncContext
from headrace.settings import load_settings
from headrace.store.breakers import Key, list_breakers, look
from headrace.testing import Engine
from tests.engine.conftest import MakeEngine
from tests.waiting import eventually

FOLDER: Final = "HEADRACE_TEST_FOLDER"
HERE: Final = "tests.engine.test_breakers"
SHARED: Final = Key("openai", "")

probing = Pipeline("probing", input=int, output=int)
openai = CircuitBreaker("openai", open_for=1, probe_timeout=3_600)


@probing.step
async def probe(number: int, ctx: StepContext) -> int:
    """The first one who is let through hangs; it is killed."""
    async with openai:
        marker = Path(os.environ[FOLDER]) / "probing"
        if not marker.exists():
            marker.write_text(str(ctx.job_id))
            await asyncio.Event().wait()
        return number


async def state(engine: Engine) -> str:
    async with engine.connection() as connection:
        return (await look(connection, SHARED)).state


async def kinds(engine: Engine, jobs: list[JobHandle[Any]]) -> set[tuple[str, str]]:
    """Of everything that was tried in vain."""
    return {(tried.kind, tried.code) for job in jobs for tried in await engine.tries(job)}


class TestOutage:
    async def test_it_costs_no_job_an_attempt(self, make_engine: MakeEngine):
        """Neither those that were cut off nor those that were turned away or tried."""
        pipe = Pipeline("pipe", input=int, output=int)
        breaker = CircuitBreaker("openai", failures=1)
        together = asyncio.Barrier(8)
        down = [True]

        @pipe.step(retry=Retry(attempts=1))
        async def call(number: int, ctx: StepContext) -> int:
            async with breaker:
                if ctx.attempt == 1:
                    await together.wait()
                if down[0]:
                    raise ConnectionRefusedError
            return number

        async with make_engine([pipe]) as engine:
            jobs = [await engine.submit(pipe, number) for number in range(8)]
            async with engine.worker():
                await eventually(lambda: _all_wait(engine), within=20)
                assert await state(engine) == "open"
                waiting = [(await engine.job(job)).wait_reason for job in jobs]
                assert waiting == ["breaker_open"] * 8
                await engine.move_clock(timedelta(seconds=34))  # one is tried, and fails
                await eventually(lambda: _has_changed(engine, "half_open", "open"), within=20)
                down[0] = False
            await engine.run_until_empty(skip_waits=True)
            assert [await job.result() for job in jobs] == list(range(8))
            assert await kinds(engine, jobs) == {("unavailable", "BREAKER_OPEN")}
            assert await state(engine) == "closed"

    async def test_failures_that_do_not_open_it_cost_attempts_as_ever(
        self, make_engine: MakeEngine
    ):
        pipe = Pipeline("pipe", input=int, output=int)
        breaker = CircuitBreaker("openai")

        @pipe.step(retry=Retry(attempts=2, first=0.1))
        async def call(number: int) -> int:
            async with breaker:
                raise ConnectionRefusedError(number)

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 1)
            await engine.run_until_empty()
            assert (await engine.job(job)).state is JobState.FAILED
            assert await kinds(engine, [job]) == {("transient", "ConnectionRefusedError")}
            assert await state(engine) == "closed"

    async def test_a_step_that_is_stopped_by_its_time_limit_is_a_failure_of_the_call(
        self, make_engine: MakeEngine
    ):
        pipe = Pipeline("pipe", input=int, output=int)
        breaker = CircuitBreaker("openai", failures=1)

        @pipe.step(timeout=0.2, retry=Retry(attempts=1))
        async def hang(number: int) -> int:
            async with breaker:
                await asyncio.Event().wait()
            return number

        async with make_engine([pipe]) as engine:
            async with engine.app.primitives(), breaker:  # so that the step asks nobody first
                pass
            job = await engine.submit(pipe, 1)
            await engine.run_until_empty()
            assert (await engine.job(job)).cause == "step_timeout"
            assert await state(engine) == "open"
            async with engine.connection() as connection:
                [row] = await list_breakers(connection)
            assert row.why == "a failure: a step's time limit"

    async def test_a_job_that_is_cancelled_is_none(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=int)
        breaker = CircuitBreaker("openai", failures=1)
        going = asyncio.Event()

        @pipe.step
        async def hang(number: int) -> int:
            async with breaker:
                going.set()
                await asyncio.Event().wait()
            return number

        async with make_engine([pipe]) as engine, engine.worker():
            job = await engine.submit(pipe, 1)
            await going.wait()
            await job.cancel()
            await eventually(lambda: _is(engine, job, JobState.CANCELLED))
            assert await state(engine) == "closed"


class TestSteps:
    async def test_plain_steps_use_it_in_their_threads(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=int)
        breaker = CircuitBreaker("openai", failures=1)

        @pipe.step(retry=Retry(attempts=1))
        def call(number: int, ctx: SyncContext) -> int:
            with breaker:
                if ctx.attempt == 1:
                    raise TimeoutError
            return number

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 1)
            await engine.run_until_empty(skip_waits=True)
            assert await job.result() == 1
            assert await kinds(engine, [job]) == {("unavailable", "BREAKER_OPEN")}

    async def test_a_step_may_be_guarded_as_a_whole_and_its_fallback_is_kept(
        self, make_engine: MakeEngine
    ):
        pipe = Pipeline("pipe", input=int, output=str)
        breaker = CircuitBreaker("openai", failures=1)

        async def guess(number: int) -> str:
            return f"about {number}"

        @pipe.step(retry=Retry(attempts=1))
        @breaker(fallback=guess)
        async def call(number: int) -> str:
            raise ConnectionResetError(number)

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 7)
            await engine.run_until_empty()
            assert await job.result() == "about 7"
            [step] = await engine.steps(job)
            assert step.metadata == {"fallback:openai": guess.__qualname__}
            status = await job.status()
            assert status.steps[0].metadata == {"fallback:openai": guess.__qualname__}

    async def test_settings_hold_in_steps(self, database_server: str):
        pipe = Pipeline("pipe", input=int, output=int)
        breaker = CircuitBreaker("openai")
        settings = load_settings({"HEADRACE_ENV": "testing", "HEADRACE_BREAKER_FAILURES": "1"})

        @pipe.step(retry=Retry(attempts=1))
        async def call(number: int, ctx: StepContext) -> int:
            async with breaker:
                if ctx.attempt == 1:
                    raise TimeoutError
            return number

        async with Engine([pipe], server=database_server, settings=settings) as engine:
            job = await engine.submit(pipe, 1)
            await engine.run_until_empty(skip_waits=True)
            assert await kinds(engine, [job]) == {("unavailable", "BREAKER_OPEN")}


class TestKilledProber:
    async def test_its_place_is_free_when_its_worker_is_found_dead(
        self, make_engine: MakeEngine, tmp_path: Path
    ):
        async with make_engine([probing]) as engine:
            for number in range(2):
                await engine.submit(probing, number)
            async with engine.app.primitives():
                for _ in range(5):
                    with contextlib.suppress(ConnectionRefusedError):
                        async with openai:
                            raise ConnectionRefusedError
            environment = {FOLDER: str(tmp_path)}
            async with engine.spawn(f"{HERE}:probing", environment=environment) as prober:
                await eventually((tmp_path / "probing").exists, within=30)
                assert await state(engine) == "half_open"
                prober.kill()
                async with engine.spawn(f"{HERE}:probing", environment=environment):
                    await eventually(lambda: _has_changed(engine, "half_open", "closed"), within=40)
            async with engine.connection() as connection:
                probes = await connection.fetchval(
                    "select probes from headrace.breaker_changes where to_state = 'closed'"
                )
            assert probes == 3  # the one that was killed, and two that went well


async def _is(engine: Engine, job: JobHandle[Any], wanted: JobState) -> bool:
    return (await engine.job(job)).state is wanted


async def _all_wait(engine: Engine) -> bool:
    return all(job.wait_reason == "breaker_open" for job in await engine.jobs())


async def _has_changed(engine: Engine, before: str, after: str) -> bool:
    async with engine.connection() as connection:
        count: int = await connection.fetchval(
            "select count(*) from headrace.breaker_changes where from_state = $1 and to_state = $2",
            before,
            after,
        )
    return count > 0
