"""Jobs at the slots of schedules, on the real engine with a clock that is moved."""

from __future__ import annotations

import asyncio
from asyncio import gather
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest

from headrace import Pipeline
from headrace.errors import ScheduleFunctionError, ScheduleNotFoundError
from headrace.settings import load_settings
from headrace.store.schedules import ScheduleStatus
from headrace.telemetry.events import Event, Level, add_sink
from headrace.telemetry.schedule_events import (
    ScheduleEvent,
    ScheduleFailed,
    ScheduleMissed,
    SchedulePaused,
    ScheduleResumed,
    ScheduleTriggered,
)
from headrace.testing import Engine
from tests.schedules.conftest import MakeEngine
from tests.schedules.crontab import (
    DAY,
    HOUR,
    MINUTE,
    Missed,
    clock,
    inputs,
    move_to,
    next_change,
    pipeline,
    scheduled,
    slots,
)
from tests.waiting import eventually

NAME = "reports.tick"


@contextmanager
def told() -> Iterator[list[Event]]:
    """The events of schedules that are told meanwhile."""
    events: list[Event] = []

    def note(event: Event) -> None:
        if isinstance(event, ScheduleEvent):
            events.append(event)

    remove = add_sink(note, level=Level.DEBUG)
    try:
        yield events
    finally:
        remove()


async def status(engine: Engine) -> ScheduleStatus:
    return (await engine.app.schedules.show(NAME)).schedule


async def full_hour(engine: Engine) -> datetime:
    """Let it be an hour in the morning, a second after it, tomorrow; returns the hour."""
    hour = (await clock(engine)).replace(hour=6, minute=0, second=0, microsecond=0) + DAY
    await move_to(engine, hour + timedelta(seconds=1))
    return hour


class TestClockChanges:
    """What has jobs when somebody looks every eleven minutes from an hour before the change on."""

    async def watched(
        self, make_engine: MakeEngine, cron: str, zone: str, *, spring: bool
    ) -> list[str]:
        change = next_change(zone, spring=spring)
        settings = load_settings({"HEADRACE_SCHEDULE_GRACE_S": "660"})
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
            await engine.run_schedules()
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
            await engine.run_schedules()
            await engine.move_clock(5 * HOUR)
            await engine.run_schedules()
            assert (await status(engine)).missed_slots == 5 - len(await slots(engine))

    async def test_hundreds_are_made_up_for_in_order(self, make_engine: MakeEngine):
        async with make_engine([scheduled("* * * * *", missed="all")]) as engine:
            await engine.run_schedules()
            await engine.move_clock(4 * HOUR)
            jobs = await engine.run_schedules()
            assert len(jobs) == 240
            assert await inputs(engine) == [slot.isoformat() for slot in await slots(engine)]
            assert sorted(await inputs(engine)) == await inputs(engine)

    async def test_what_counts_as_missed_is_a_setting(self, make_engine: MakeEngine):
        settings = load_settings({"HEADRACE_SCHEDULE_GRACE_S": "1800"})
        async with make_engine([scheduled(missed="skip")], settings=settings) as engine:
            await engine.run_schedules()
            hour = await full_hour(engine)
            await engine.move_clock(29 * MINUTE)
            await engine.run_schedules()
            assert await slots(engine) == [hour]


class TestTime:
    async def test_a_worker_wakes_for_the_slot_itself(self, make_engine: MakeEngine):
        """Its poll is an hour away."""
        async with make_engine([scheduled("* * * * *")]) as engine:
            lazy = replace(engine.timing, poll=HOUR)
            await engine.run_schedules()
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
            await engine.run_schedules()
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
            await engine.run_schedules()
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


class TestTwoAtOnce:
    async def test_many_who_look_at_the_same_time_make_one_job_a_slot(
        self, make_engine: MakeEngine
    ):
        pipe = scheduled("*/10 * * * *", missed="all")
        async with make_engine([pipe]) as engine, AsyncExitStack() as exits:
            apps = [engine.app_with([pipe]) for _ in range(4)]
            for app in apps:
                await exits.enter_async_context(app)
            await gather(*(engine.run_schedules(app) for app in apps))
            for _ in range(5):
                await engine.move_clock(HOUR)
                await gather(*(engine.run_schedules(app) for app in apps))
                await engine.run_schedules()  # whoever had the duty may have ended before
            made = await inputs(engine)
        assert len(made) == 30
        assert len(set(made)) == 30

    async def test_the_row_decides_where_the_duty_does_not(self, make_engine: MakeEngine):
        """Each of many is between its look and its transaction when another one has gone on."""
        pipe, inside = pipeline(), []
        together = asyncio.Event()

        @pipe.schedule("0 * * * *")
        async def tick(slot: datetime) -> str:
            inside.append(slot)
            if len(inside) == 3:
                together.set()
            await together.wait()
            return slot.isoformat()

        async with make_engine([pipe]) as engine:
            await engine.run_schedules()
            await engine.move_clock(HOUR)
            looks = []
            for number in range(3):
                looks.append(asyncio.create_task(engine.run_schedules()))
                await eventually(lambda: len(inside) > number, within=30)  # noqa: B023 - awaited here
                async with engine.connection() as connection:  # its lease is over
                    await connection.execute("update headrace.duties set expires_at = '-infinity'")
            made = await gather(*looks)
            assert len(await inputs(engine)) == 1
        assert sorted(map(len, made)) == [0, 0, 1]

    async def test_workers_beside_each_other_make_one_job_a_slot(self, make_engine: MakeEngine):
        async with make_engine([scheduled("*/10 * * * *", missed="all")]) as engine:
            async with engine.worker(), engine.worker():
                for hours in range(1, 4):
                    await engine.move_clock(HOUR)
                    await eventually(lambda: self.has(engine, 6 * hours), within=30)  # noqa: B023
            assert len(set(await inputs(engine))) == len(await inputs(engine))

    async def has(self, engine: Engine, count: int) -> bool:
        return len(await slots(engine)) >= count


class TestPauses:
    async def test_slots_pass_without_jobs_and_are_not_made_up_for(self, make_engine: MakeEngine):
        async with make_engine([scheduled(missed="all")]) as engine:
            await engine.run_schedules()
            hour = await full_hour(engine)
            await engine.run_schedules()
            with told() as events:
                await engine.app.schedules.pause(NAME, reason="holidays", actor="ann")
                await engine.move_clock(5 * HOUR)
                assert await engine.run_schedules() == []
                paused = await status(engine)
                found, resumed = await engine.app.schedules.resume(NAME, actor="ann")
            assert resumed
            assert found.next_slot == hour + 6 * HOUR
            await engine.move_clock(HOUR)
            assert len(await engine.run_schedules()) == 1
            made = [slot for slot in await slots(engine) if slot >= hour]
            actions = await audited(engine)
        assert made == [hour, hour + 6 * HOUR]
        assert (paused.state, paused.paused_by, paused.pause_reason) == (
            "paused",
            "ann",
            "holidays",
        )
        assert [type(event) for event in events] == [SchedulePaused, ScheduleResumed]
        assert actions == [("schedule.pause", NAME), ("schedule.resume", NAME)]

    async def test_a_restart_of_a_worker_leaves_it_paused(self, make_engine: MakeEngine):
        pipe = scheduled()
        async with make_engine([pipe]) as engine:
            await engine.run_schedules()
            await engine.app.schedules.pause(NAME)
            changed = scheduled("5 * * * *")
            async with engine.app_with([changed]) as app:
                await engine.run_schedules(app)
            found = await status(engine)
        assert (found.state, found.cron) == ("paused", "5 * * * *")

    async def test_resuming_what_is_not_paused_changes_nothing(self, make_engine: MakeEngine):
        async with make_engine([scheduled()]) as engine:
            await engine.run_schedules()
            before = await status(engine)
            await engine.move_clock(5 * HOUR)
            assert await engine.app.schedules.resume(NAME) == (
                replace(before, state="overdue"),
                False,
            )

    async def test_what_is_paused_while_its_function_runs_makes_no_job(
        self, make_engine: MakeEngine
    ):
        pipe = pipeline()
        inside, go_on = asyncio.Event(), asyncio.Event()

        @pipe.schedule("0 * * * *")
        async def tick(slot: datetime) -> str:
            inside.set()
            await go_on.wait()
            return slot.isoformat()

        async with make_engine([pipe]) as engine:
            await engine.run_schedules()
            await engine.move_clock(HOUR)
            look = asyncio.create_task(engine.run_schedules())
            await inside.wait()
            await engine.app.schedules.pause(NAME)
            go_on.set()
            assert await look == []

    async def test_nothing_is_done_to_what_is_not_there(self, make_engine: MakeEngine):
        async with make_engine([scheduled()]) as engine:
            await engine.run_schedules()
            for act in (engine.app.schedules.pause, engine.app.schedules.resume):
                with pytest.raises(ScheduleNotFoundError, match=r"did you mean 'reports\.tick'"):
                    await act("reports.tock")
            assert await audited(engine) == []


class TestTriggers:
    async def test_a_job_for_the_present_moment(self, make_engine: MakeEngine):
        async with make_engine([scheduled()]) as engine:
            await engine.run_schedules()
            before = await status(engine)
            await engine.app.schedules.pause(NAME)
            now = await clock(engine)
            with told() as events:
                job = await engine.app.schedules.trigger(NAME, reason="now", actor="ann")
            shown = await engine.app.schedules.show(NAME)
            [made] = await inputs(engine)
            await engine.app.schedules.resume(NAME)
            assert (await status(engine)).next_slot == before.next_slot
            actions = await audited(engine)
        [slot] = shown.slots
        assert (slot.job, slot.triggered_by, slot.reason) == (job, "ann", "now")
        assert timedelta() <= datetime.fromisoformat(made) - now < MINUTE
        assert [type(event) for event in events] == [ScheduleTriggered]
        assert actions[1] == ("schedule.trigger", NAME)

    async def test_a_failing_function_is_told_and_nothing_is_kept(self, make_engine: MakeEngine):
        pipe = pipeline()

        @pipe.schedule("0 * * * *")
        def tick(_: datetime) -> str:
            raise ValueError("no data; password=hunter2secret")

        async with make_engine([pipe]) as engine:
            await engine.run_schedules()
            with pytest.raises(ScheduleFunctionError, match="ValueError: no data") as raised:
                await engine.app.schedules.trigger(NAME)
            assert "hunter2" not in str(raised.value)
            assert (await inputs(engine), await audited(engine)) == ([], [])

    async def test_what_this_app_has_no_code_for_cannot_be_triggered(self, make_engine: MakeEngine):
        async with make_engine([scheduled()]) as engine:
            await engine.run_schedules()
            async with engine.app_with([pipeline()]) as app:
                with pytest.raises(ScheduleNotFoundError):
                    await app.schedules.trigger(NAME)


class TestFailures:
    async def test_the_slot_is_tried_again_and_others_go_on(self, make_engine: MakeEngine):
        pipe, fails = scheduled(), [True]

        @pipe.schedule("0 * * * *", missed="once")
        async def broken(slot: datetime) -> str:
            if fails[0]:
                raise LookupError("no such table")
            return slot.isoformat()

        async with make_engine([pipe]) as engine:
            await engine.run_schedules()
            await full_hour(engine)
            with told() as events:
                assert len(await engine.run_schedules()) == 1
                [failing] = [one for one in await engine.app.schedules.list() if one.failures]
                assert await engine.run_schedules() == []  # it is not time to try again
                fails[0] = False
                await engine.move_clock(timedelta(seconds=10))
                assert len(await engine.run_schedules()) == 1
                found = (await engine.app.schedules.show("reports.broken")).schedule
        assert (failing.name, failing.state, failing.failures) == ("broken", "failing", 1)
        assert failing.error == "LookupError: no such table"
        assert failing.retry_at is not None
        assert (found.state, found.failures, found.error) == ("active", 0, None)
        [failed] = [event for event in events if isinstance(event, ScheduleFailed)]
        assert failed.error == failing.error
        assert 0 < failed.retry_in_s <= 2

    async def test_the_waits_between_tries_double_up_to_five_minutes(self, make_engine: MakeEngine):
        pipe = pipeline()

        @pipe.schedule("0 * * * *", missed="all")
        def tick(slot: datetime) -> str:
            raise LookupError(slot)

        async with make_engine([pipe]) as engine:
            await engine.run_schedules()
            await full_hour(engine)
            with told() as events:
                for _ in range(11):
                    await engine.run_schedules()
                    await engine.move_clock(6 * MINUTE)
        waits = [event.retry_in_s for event in events if isinstance(event, ScheduleFailed)]
        assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]

    async def test_an_input_that_does_not_fit_is_a_failure(self, make_engine: MakeEngine):
        pipe = Pipeline("reports", input=list[int], output=int)

        @pipe.step
        def count(numbers: list[int]) -> int:
            return len(numbers)

        @pipe.schedule("0 * * * *")
        def tick(_: datetime) -> list[int]:
            return ["one"]  # type: ignore[list-item]

        async with make_engine([pipe]) as engine:
            await engine.run_schedules()
            await engine.move_clock(HOUR)
            assert await engine.run_schedules() == []
            found = await status(engine)
        assert found.state == "failing"
        assert "$[0]" in str(found.error)

    async def test_a_slot_that_cannot_succeed_is_left_behind_by_a_pause(
        self, make_engine: MakeEngine
    ):
        pipe, bad = pipeline(), []

        @pipe.schedule("0 * * * *", missed="all")
        def tick(slot: datetime) -> str:
            if not bad or slot in bad:
                bad.append(slot)
                raise LookupError("never")
            return slot.isoformat()

        async with make_engine([pipe]) as engine:
            await engine.run_schedules()
            await engine.move_clock(HOUR)
            await engine.run_schedules()
            await engine.app.schedules.pause(NAME)
            await engine.app.schedules.resume(NAME)
            await engine.move_clock(HOUR)
            assert len(await engine.run_schedules()) == 1
            assert (await status(engine)).state == "active"


class TestDefinitions:
    async def seen_by(self, engine: Engine, *pipes: Pipeline[Any, Any]) -> list[ScheduleStatus]:
        """What stands in the table after a worker of this code has started."""
        async with engine.app_with(pipes) as app:
            await engine.run_schedules(app)
        return await engine.app.schedules.list()

    async def test_another_time_counts_from_now(self, make_engine: MakeEngine):
        async with make_engine([scheduled("0 * * * *", missed="all")]) as engine:
            await engine.run_schedules()
            hour = await full_hour(engine)
            [found] = await self.seen_by(engine, scheduled("30 * * * *", missed="all"))
            assert found.next_slot == hour + 30 * MINUTE
            [found] = await self.seen_by(
                engine, scheduled("30 * * * *", timezone="Asia/Kolkata", missed="all")
            )
            assert found.next_slot == hour + HOUR  # half past six there
            assert await slots(engine) == []

    async def test_anything_else_leaves_the_next_slot_alone(self, make_engine: MakeEngine):
        async with make_engine([scheduled(missed="all")]) as engine:
            await engine.run_schedules()
            before = await status(engine)
            await engine.move_clock(3 * HOUR)
            [found] = await self.seen_by(engine, scheduled(missed="once", version="1.1.0"))
            assert (found.missed, found.version) == ("once", "1.1.0")
            assert len(await slots(engine)) == 1  # the latest, by the new policy
            assert found.next_slot == before.next_slot + 3 * HOUR

    async def test_older_code_neither_changes_nor_runs_it(self, make_engine: MakeEngine):
        old, new = (
            scheduled("0 * * * *", version="1.9.0"),
            scheduled("30 * * * *", version="1.10.0"),
        )
        async with make_engine([old]) as engine:
            await engine.run_schedules()
            [found] = await self.seen_by(engine, new)
            await engine.move_clock(2 * HOUR)
            assert await engine.run_schedules() == []
            [after] = await self.seen_by(engine, pipeline(version="1.9.5"))
        assert (found.cron, found.version) == ("30 * * * *", "1.10.0")
        assert (after.cron, after.version, after.state) == ("30 * * * *", "1.10.0", "overdue")

    async def test_what_the_newest_code_has_no_more_is_listed_as_not_carried(
        self, make_engine: MakeEngine
    ):
        async with make_engine([scheduled()]) as engine:
            await engine.run_schedules()
            [found] = await self.seen_by(engine, pipeline(version="1.1.0"))
            await engine.move_clock(2 * HOUR)
            assert await engine.run_schedules() == []
            [again] = await self.seen_by(engine, scheduled(version="1.2.0", missed="all"))
            now = await clock(engine)
            assert await slots(engine) == []
        assert (found.state, found.version) == ("not carried", "1.1.0")
        assert again.state == "active"
        assert now < again.next_slot <= now + HOUR

    async def test_it_is_not_called_while_others_have_other_code_of_the_version(
        self, make_engine: MakeEngine
    ):
        async with make_engine([scheduled("0 * * * *")]) as engine:
            await engine.run_schedules()
            async with engine.worker():
                await eventually(lambda: self.is_listed(engine), within=30)
                await self.seen_by(engine, scheduled("30 */2 * * *"))
                await engine.move_clock(2 * HOUR)
                await self.seen_by(engine, scheduled("30 */2 * * *"))
            assert {slot.minute for slot in await slots(engine)} == {30}

    async def is_listed(self, engine: Engine) -> bool:
        return bool(await engine.app.schedules.list())


class TestRetention:
    async def test_slots_go_with_the_jobs_of_their_time(self, make_engine: MakeEngine):
        async with make_engine([scheduled()]) as engine:
            await engine.run_schedules()
            await engine.move_clock(HOUR)
            await engine.run_schedules()
            await engine.move_clock(200 * DAY)
            await engine.run_schedules()
            worker = engine.app.worker()
            await worker.clean_up(within_s=30)
            await worker.close()
            found = await status(engine)
            assert await slots(engine) == [found.last_slot]


class TestSweeps:
    async def test_a_sweep_submits_for_a_service_without_workers(self, make_engine: MakeEngine):
        async with make_engine([scheduled()]) as engine:
            await self.sweep(engine)
            await engine.move_clock(3 * HOUR)
            assert await self.sweep(engine) == 1

    async def sweep(self, engine: Engine) -> int:
        worker = engine.app.worker(timing=engine.timing)
        try:
            return (await worker.sweep(within_s=30)).scheduled
        finally:
            await worker.close()

    async def test_a_worker_that_ends_when_empty_submits_before(self, make_engine: MakeEngine):
        async with make_engine([scheduled()]) as engine:
            await engine.run_schedules()
            await engine.move_clock(3 * HOUR)
            await engine.app.worker(timing=engine.timing).run(until_empty=True)
            assert [job.state for job in await engine.jobs()] == ["completed"]


async def audited(engine: Engine) -> list[tuple[str, str]]:
    async with engine.connection() as connection:
        rows = await connection.fetch("select action, target from headrace.admin_audit order by id")
    return [tuple(row) for row in rows]
