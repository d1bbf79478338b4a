"""Somebody holds the row of a job that waits: the worker goes on with all others."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from headrace import Pipeline, Signal
from headrace.errors import JobFailedError
from tests.engine.conftest import MakeEngine
from tests.waiting import eventually
from tests.waits.looking import rows_of

LONG = timedelta(days=3)
LOCK = "select from headrace.jobs where id = $1 for no key update"


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
