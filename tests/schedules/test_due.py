"""Jobs at the slots of schedules, on the real engine with a clock that is moved."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import orjson
import pytest

from headrace.settings import load_settings
from headrace.store.clock import move_clock
from headrace.telemetry.schedule_events import (
    ScheduleMissed,
)
from headrace.testing import Engine
from tests.schedules.conftest import MakeEngine
from tests.schedules.crontab import (
    DAY,
    HOUR,
    MINUTE,
    NAME,
    Missed,
    begin,
    clock,
    full_hour,
    inputs,
    move_to,
    next_change,
    pipeline,
    scheduled,
    slots,
    status,
    told,
)
from tests.waiting import eventually


class TestClockChanges:
    """What has jobs when somebody looks every eleven minutes from an hour before the change on."""

    async def watched(
        self, make_engine: MakeEngine, cron: str, zone: str, *, spring: bool
    ) -> list[str]:
        change = next_change(zone, spring=spring)
        settings = load_settings({"HEADRACE_SCHEDULE_GRACE_S": "900"})
        pipe = scheduled(cron, timezone=zone, missed="skip")
        async with make_engine([pipe], settings=settings) as engine:
            await move_to(engine, change - 64 * MINUTE)
            await engine.run_schedules()
            for _ in range(17):
                await engine.move_clock(11 * MINUTE)
                await engine.run_schedules()
            found = await slots(engine)
            assert await inputs(engine) == [
                slot.astimezone(ZoneInfo(zone)).isoformat() for slot in found
            ]
        local = (slot.astimezone(ZoneInfo(zone)) for slot in found)
        return [f"{slot:%H:%M}{'' if slot.fold == 0 else ' again'}" for slot in local]

    @pytest.mark.parametrize(
        ("cron", "spring", "autumn"),
        [
            ("30 2 * * *", ["03:00"], ["02:30"]),
            (
                "5 * * * *",
                ["01:05", "03:05", "04:05"],
                ["02:05", "02:05 again", "03:05"],
            ),
            (
                "*/30 * * * *",
                ["01:00", "01:30", "03:00", "03:30", "04:00", "04:30", "05:00"],
                ["02:00", "02:30", "02:00 again", "02:30 again", "03:00", "03:30", "04:00"],
            ),
        ],
    )
    async def test_in_berlin(
        self, make_engine: MakeEngine, cron: str, spring: list[str], autumn: list[str]
    ):
        assert await self.watched(make_engine, cron, "Europe/Berlin", spring=True) == spring
        assert await self.watched(make_engine, cron, "Europe/Berlin", spring=False) == autumn

    async def test_where_clocks_change_by_half_an_hour(self, make_engine: MakeEngine):
        zone, cron = "Australia/Lord_Howe", "*/10 * * * *"
        spring = await self.watched(make_engine, cron, zone, spring=True)
        assert spring[spring.index("01:50") :][:3] == ["01:50", "02:30", "02:40"]
        autumn = await self.watched(make_engine, cron, zone, spring=False)
        assert autumn[autumn.index("01:30") :][:7] == [
            "01:30", "01:40", "01:50", "01:30 again", "01:40 again", "01:50 again", "02:00",
        ]  # fmt: skip


class TestMissed:
    @pytest.mark.parametrize(
        ("missed", "hours"), [("skip", [6]), ("once", [6, 9]), ("all", [6, 7, 8, 9])]
    )
    async def test_a_worker_that_was_down_for_three_slots(
        self, make_engine: MakeEngine, missed: Missed, hours: list[int]
    ):
        async with make_engine([scheduled(missed=missed)]) as engine:
            await begin(engine)
            first = await full_hour(engine)
            async with engine.worker():
                await eventually(lambda: self.is_next(engine, first + HOUR), within=30)
            await engine.move_clock(3 * HOUR + 30 * MINUTE)
            with told() as events:
                async with engine.worker():
                    await eventually(lambda: self.is_next(engine, first + 4 * HOUR), within=30)
            made = [slot.hour for slot in await slots(engine) if slot >= first]
            missing = [event for event in events if isinstance(event, ScheduleMissed)]
        assert made == hours
        assert sum(event.slots for event in missing) == 4 - len(hours)
        assert {event.policy for event in missing} <= {missed}

    async def is_next(self, engine: Engine, hour: datetime) -> bool:
        return (await status(engine)).next_slot == hour

    async def test_missed_slots_are_counted(self, make_engine: MakeEngine):
        async with make_engine([scheduled(missed="skip")]) as engine:
            await begin(engine)
            await engine.move_clock(5 * HOUR)
            await engine.run_schedules()
            assert (await status(engine)).missed_slots == 5 - len(await slots(engine))

    async def test_hundreds_are_made_up_for_in_order(self, make_engine: MakeEngine):
        async with make_engine([scheduled("* * * * *", missed="all")]) as engine:
            await begin(engine)
            await engine.move_clock(4 * HOUR)
            jobs = await engine.run_schedules()
            assert len(jobs) == 240
            assert await inputs(engine) == [slot.isoformat() for slot in await slots(engine)]
            assert sorted(await inputs(engine)) == await inputs(engine)

    async def test_what_counts_as_missed_is_a_setting(self, make_engine: MakeEngine):
        settings = load_settings({"HEADRACE_SCHEDULE_GRACE_S": "1800"})
        async with make_engine([scheduled(missed="skip")], settings=settings) as engine:
            await begin(engine)
            hour = await full_hour(engine)
            await engine.move_clock(29 * MINUTE)
            await engine.run_schedules()
            assert await slots(engine) == [hour]


class TestTime:
    async def test_a_worker_wakes_for_the_slot_itself(self, make_engine: MakeEngine):
        """Its poll is an hour away."""
        async with make_engine([scheduled("* * * * *")]) as engine:
            lazy = replace(engine.timing, poll=HOUR)
            await begin(engine)
            minute = (await clock(engine)).replace(second=0, microsecond=0) + 3 * MINUTE
            await move_to(engine, minute - timedelta(seconds=2))
            await engine.run_schedules()  # the minutes before
            async with engine.worker(timing=lazy):
                await eventually(lambda: self.has(engine, minute), within=30)

    async def has(self, engine: Engine, slot: datetime) -> bool:
        return slot in await slots(engine)

    async def test_the_function_gets_the_time_of_its_zone(self, make_engine: MakeEngine):
        pipe, seen = pipeline(), []

        @pipe.schedule("0 6 * * *", timezone="Asia/Kolkata")
        async def morning(slot: datetime) -> str:
            seen.append(slot)
            return "x"

        async with make_engine([pipe]) as engine:
            await begin(engine)
            await engine.move_clock(DAY)
            await engine.run_schedules()
        [slot] = seen
        assert slot.tzinfo == ZoneInfo("Asia/Kolkata")
        assert (slot.hour, slot.minute, slot.astimezone(UTC).hour) == (6, 0, 0)

    async def test_the_job_is_of_the_tenant_and_says_where_it_comes_from(
        self, make_engine: MakeEngine
    ):
        pipe = pipeline()

        @pipe.schedule("0 * * * *", tenant="acme", owner="night", missed="once")
        def tick(slot: datetime) -> str:
            return slot.isoformat()

        async with make_engine([pipe]) as engine:
            await begin(engine)
            await engine.move_clock(HOUR)
            [job] = await engine.run_schedules()
            row = await engine.job(job)
            async with engine.connection() as connection:
                metadata = await connection.fetchval(
                    "select metadata from headrace.jobs where id = $1", job.id
                )
            [first, *_] = await engine.app.history(job.id)
            await engine.run_until_empty()
            result = await job.result()
        assert (row.tenant, row.owner) == ("acme", "night")
        assert orjson.loads(metadata) == {"schedule": NAME, "slot": result}
        assert first.actor == "schedule"


class TestClockSetBack:
    """As when the database's machine has its time put right."""

    async def set_back(self, engine: Engine, by: timedelta) -> None:
        async with engine.connection() as connection:
            await move_clock(connection, -by, keep_leases=False)

    async def test_no_slot_comes_twice_and_none_is_left_out(self, make_engine: MakeEngine):
        async with make_engine([scheduled("*/10 * * * *", missed="all")]) as engine:
            await begin(engine)
            await engine.move_clock(3 * HOUR)
            await engine.run_schedules()
            await self.set_back(engine, 2 * HOUR)
            assert await engine.run_schedules() == []
            await engine.move_clock(3 * HOUR)
            await engine.run_schedules()
            found = await slots(engine)
            assert await inputs(engine) == [slot.isoformat() for slot in found]
        assert len(found) == 24
        assert found[-1] - found[0] == 23 * 10 * MINUTE

    async def test_nor_where_the_code_says_another_time(self, make_engine: MakeEngine):
        async with make_engine([scheduled("*/10 * * * *", missed="all")]) as engine:
            await begin(engine)
            await engine.move_clock(3 * HOUR)
            await engine.run_schedules()
            [*_, last] = await slots(engine)
            await self.set_back(engine, 2 * HOUR)
            async with engine.app_with([scheduled("*/5 * * * *", missed="all")]) as app:
                assert await engine.run_schedules(app) == []
                assert (await status(engine)).next_slot == last + 5 * MINUTE
