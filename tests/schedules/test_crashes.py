"""Workers that die or freeze in the middle of submitting the job of a slot."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from headrace.testing import Engine
from tests.schedules.conftest import MakeEngine
from tests.schedules.crontab import HOUR, begin, clock, fatal, inputs, reports, scheduled, slots
from tests.waiting import eventually

APP = "tests.schedules.crontab:reports"
POINTS = (
    "schedule.advanced",
    "schedule.submitted",
    "schedule.before_commit",
    "schedule.after_commit",
)


async def has(engine: Engine, count: int) -> bool:
    return len(await slots(engine)) >= count


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "point" in metafunc.fixturenames:
        is_full = metafunc.config.getoption("--every-write-point", default=False)
        metafunc.parametrize("point", POINTS if is_full else POINTS[2:])


class TestKills:
    async def test_each_slot_has_one_job_wherever_a_worker_is_killed(
        self, make_engine: MakeEngine, point: str
    ):
        async with make_engine([reports]) as engine:
            await begin(engine)
            await engine.move_clock(HOUR)
            await engine.crash_at(point, APP, nth=3)
            assert len(await slots(engine)) == 2 + (point == "schedule.after_commit")
            async with engine.worker():  # once the duty of the dead is over
                await eventually(lambda: has(engine, 6), within=40)
            made = await inputs(engine)
            assert made == [slot.isoformat() for slot in await slots(engine)]
            assert len(made) == 6


class TestAFunctionThatEndsItsProcess:
    async def test_it_counts_as_a_failure_before_it_is_called_again(self, make_engine: MakeEngine):
        async def has_failed(engine: Engine) -> bool:
            async with engine.connection() as connection:
                failures: int = await connection.fetchval("select failures from headrace.schedules")
            return failures == 1

        async with make_engine([fatal]) as engine:
            await begin(engine)
            await engine.move_clock(HOUR)
            async with engine.spawn("tests.schedules.crontab:fatal") as first:
                assert await first.wait(30) == 9
            assert not await has_failed(engine)
            async with engine.spawn("tests.schedules.crontab:fatal"):
                await eventually(lambda: has_failed(engine), within=30)


class TestFreezes:
    async def test_what_somebody_holds_for_long_keeps_nothing_else_up(
        self, make_engine: MakeEngine
    ):
        """As a worker that was frozen in its transaction, until the server ends that."""
        pipe = scheduled("0 * * * *")

        @pipe.schedule("0 * * * *")
        def other(slot: datetime) -> str:
            return slot.isoformat()

        async with make_engine([pipe]) as engine:
            await begin(engine)
            await engine.move_clock(HOUR)
            async with engine.connection() as connection, connection.transaction():
                await connection.execute(
                    "select from headrace.schedules where name = 'tick' for update"
                )
                assert len(await engine.run_schedules()) == 1
                assert await slots(engine) == []
            await eventually(engine.run_schedules)  # once the duty of the first look is over
            assert len(await slots(engine)) == 1


class TestProcesses:
    async def test_two_that_run_beside_each_other_make_one_job_a_slot(
        self, make_engine: MakeEngine
    ):
        async with make_engine([reports]) as engine:
            await begin(engine)
            async with engine.spawn(APP), engine.spawn(APP):
                for hours in (1, 2, 3):
                    await engine.move_clock(timedelta(hours=1))
                    await eventually(lambda: has(engine, 6 * hours), within=30)  # noqa: B023
            made = await inputs(engine)
            assert len(made) == len(set(made)) == 18
            assert await clock(engine) >= (await slots(engine))[-1]
