"""Somebody holds the row of a job that waits: the worker goes on with all others."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from headrace import JobHandle, Pipeline, Signal, StepContext
from headrace.errors import JobFailedError
from tests.engine.conftest import MakeEngine
from tests.waiting import eventually
from tests.waits.looking import bound_children, rows_of, until_waiting

LONG = timedelta(days=3)
LOCK = "select from headrace.jobs where id = $1 for no key update"
LOCK_ENTRY = "select from headrace.queued where job = $1 for update"


class TestARowThatIsLocked:
    async def test_other_jobs_are_claimed_and_its_own_signal_is_late_afterwards(
        self, make_engine: MakeEngine
    ) -> None:
        goes_on = asyncio.Event()
        patient = Pipeline("patient", input=int, output=int)
        other = Pipeline("other", input=int, output=int)

        @patient.step
        async def work(number: int) -> int:
            await goes_on.wait()
            return number

        @patient.step
        async def decide(number: int, word: int = Signal(timeout=LONG)) -> int:
            return number + word

        @other.step
        async def once(number: int) -> int:
            return number

        async with make_engine([patient, other]) as engine, engine.worker():
            job = await engine.submit(patient, 1)

            async def waits() -> bool:
                return bool(await rows_of(engine, "waits", job))

            await eventually(waits)
            await engine.move_clock(2 * LONG)
            async with engine.connection() as connection, connection.transaction():
                await connection.fetch(LOCK, UUID(job.id))
                for number in range(5):  # one a claim: some come after a look at what waits
                    assert await (await engine.submit(other, number)).result(timeout=5) == number
                    await asyncio.sleep(0.3)
            goes_on.set()
            with pytest.raises(JobFailedError, match="waited 3 days"):
                await job.result(timeout=20)

    async def test_a_parent_wakes_though_its_row_was_held_when_its_child_ended(
        self, make_engine: MakeEngine
    ) -> None:
        """Whoever held it gave up: the end passed by, and nobody else would wake the parent."""
        goes_on = asyncio.Event()
        child = Pipeline("child", input=int, output=int)
        parent = Pipeline("parent", input=int, output=int)

        @child.step
        async def work(number: int) -> int:
            await goes_on.wait()
            return number

        @parent.step
        async def ask(number: int, ctx: StepContext) -> JobHandle[int]:
            return await ctx.submit(child, number)

        async with make_engine([parent, child]) as engine, engine.worker():
            job = await engine.submit(parent, 7)
            await until_waiting(job, "child")

            async def has_ended() -> bool:
                return not await bound_children(engine)

            async with engine.connection() as connection, connection.transaction():
                await connection.fetch(LOCK_ENTRY, UUID(job.id))
                goes_on.set()
                await eventually(has_ended)
            assert await job.result(timeout=20) == 7
            async with engine.connection() as connection:
                assert not await connection.fetchval("select count(*) from headrace.missed_wakes")
