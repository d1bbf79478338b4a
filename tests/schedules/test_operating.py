"""Schedules are paused, resumed and triggered; their functions fail."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from headrace import Pipeline
from headrace.cli.examination import schedules_finding
from headrace.client.slots import input_for
from headrace.errors import InvalidError, ScheduleFunctionError, ScheduleNotFoundError
from headrace.telemetry.schedule_events import (
    ScheduleFailed,
    SchedulePaused,
    ScheduleResumed,
    ScheduleTriggered,
)
from headrace.testing import Engine
from tests.schedules.conftest import MakeEngine
from tests.schedules.crontab import (
    HOUR,
    MINUTE,
    NAME,
    audited,
    begin,
    clock,
    full_hour,
    inputs,
    pipeline,
    scheduled,
    slots,
    status,
    told,
)


class TestPauses:
    async def test_slots_pass_without_jobs_and_are_not_made_up_for(self, make_engine: MakeEngine):
        async with make_engine([scheduled(missed="all")]) as engine:
            await begin(engine)
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
            await begin(engine)
            await engine.app.schedules.pause(NAME)
            changed = scheduled("5 * * * *")
            async with engine.app_with([changed]) as app:
                await engine.run_schedules(app)
            found = await status(engine)
        assert (found.state, found.cron) == ("paused", "5 * * * *")

    async def test_resuming_what_is_not_paused_changes_nothing(self, make_engine: MakeEngine):
        async with make_engine([scheduled()]) as engine:
            await begin(engine)
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
            await begin(engine)
            await engine.move_clock(HOUR)
            look = asyncio.create_task(engine.run_schedules())
            await inside.wait()
            await engine.app.schedules.pause(NAME)
            go_on.set()
            assert await look == []

    async def test_a_zone_that_is_not_known_here_is_told(self, make_engine: MakeEngine):
        async with make_engine([scheduled()]) as engine:
            await begin(engine)
            await engine.app.schedules.pause(NAME)
            async with engine.connection() as connection:
                await connection.execute("update headrace.schedules set timezone = 'Mars/Base'")
            with pytest.raises(InvalidError, match="'Mars/Base' is no time zone"):
                await engine.app.schedules.resume(NAME)
            assert (await status(engine)).state == "paused"

    async def test_nothing_is_done_to_what_is_not_there(self, make_engine: MakeEngine):
        async with make_engine([scheduled()]) as engine:
            await begin(engine)
            for act in (engine.app.schedules.pause, engine.app.schedules.resume):
                with pytest.raises(ScheduleNotFoundError, match=r"did you mean 'reports\.tick'"):
                    await act("reports.tock")
            assert await audited(engine) == []


class TestTriggers:
    async def test_a_job_for_the_present_moment(self, make_engine: MakeEngine):
        async with make_engine([scheduled()]) as engine:
            await begin(engine)
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
            await begin(engine)
            with pytest.raises(ScheduleFunctionError, match="ValueError: no data") as raised:
                await engine.app.schedules.trigger(NAME)
            assert "hunter2" not in str(raised.value)
            assert (await inputs(engine), await audited(engine)) == ([], [])

    async def test_what_this_app_has_no_code_for_cannot_be_triggered(self, make_engine: MakeEngine):
        async with make_engine([scheduled()]) as engine:
            await begin(engine)
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
            await begin(engine)
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
        [failed, *_] = [event for event in events if isinstance(event, ScheduleFailed)]
        assert failed.error == failing.error
        assert 0 < failed.retry_in_s <= 2

    async def test_the_waits_between_tries_double_up_to_five_minutes(self, make_engine: MakeEngine):
        pipe = pipeline()

        @pipe.schedule("0 * * * *", missed="all")
        def tick(slot: datetime) -> str:
            raise LookupError(slot)

        async with make_engine([pipe]) as engine:
            await begin(engine)
            await full_hour(engine)
            with told() as events:
                for _ in range(11):
                    await engine.run_schedules()
                    await engine.move_clock(6 * MINUTE)
        waits = [event.retry_in_s for event in events if isinstance(event, ScheduleFailed)]
        assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]

    @pytest.mark.parametrize("is_plain", [True, False])
    async def test_one_that_does_not_end_is_left(self, make_engine: MakeEngine, *, is_plain: bool):
        pipe, end = pipeline(), threading.Event()

        @pipe.schedule("0 * * * *", name="plain")
        def wait(slot: datetime) -> str:
            end.wait()
            return slot.isoformat()

        @pipe.schedule("0 * * * *", name="later")
        async def wait_later(_: datetime) -> str:
            return await asyncio.get_running_loop().create_future()

        schedule = pipe.schedules["plain" if is_plain else "later"]
        async with make_engine([pipe]) as engine:
            with pytest.raises(ScheduleFunctionError, match=r"it took longer than 0\.05 s"):
                await input_for(engine.app, pipe, schedule, datetime.now(UTC), limit_s=0.05)
        end.set()

    async def test_one_that_cancels_itself_has_failed(self, make_engine: MakeEngine):
        pipe = pipeline()

        @pipe.schedule("0 * * * *")
        async def tick(slot: datetime) -> str:
            raise asyncio.CancelledError(slot)

        async with make_engine([pipe]) as engine:
            await begin(engine)
            await engine.move_clock(HOUR)
            assert await engine.run_schedules() == []
            found = await status(engine)
            with pytest.raises(ScheduleFunctionError, match="it cancelled itself"):
                await engine.app.schedules.trigger(NAME)
        assert (found.failures, found.error) == (1, "it cancelled itself")

    async def test_an_input_that_does_not_fit_is_a_failure(self, make_engine: MakeEngine):
        pipe = Pipeline("reports", input=list[int], output=int)

        @pipe.step
        def count(numbers: list[int]) -> int:
            return len(numbers)

        @pipe.schedule("0 * * * *")
        def tick(_: datetime) -> list[int]:
            return ["one"]  # type: ignore[list-item]

        async with make_engine([pipe]) as engine:
            await begin(engine)
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
            await begin(engine)
            await engine.move_clock(HOUR)
            await engine.run_schedules()
            await engine.app.schedules.pause(NAME)
            await engine.app.schedules.resume(NAME)
            await engine.move_clock(HOUR)
            assert len(await engine.run_schedules()) == 1
            assert (await status(engine)).state == "active"


class TestDoctor:
    async def test_what_fails_or_nobody_carries_is_told(self, make_engine: MakeEngine):
        pipe = pipeline()

        @pipe.schedule("0 * * * *")
        def tick(slot: datetime) -> str:
            raise LookupError(slot)

        async with make_engine([pipe]) as engine:
            await begin(engine)
            assert await self.said(engine) == ("ok", "1 defined, 0 paused")
            await engine.move_clock(2 * HOUR)
            level, text = await self.said(engine)
            assert (level, "no worker carries reports.tick" in text) == ("warn", True)
            await engine.run_schedules()
            level, text = await self.said(engine)
            assert (level, "functions of reports.tick fail" in text) == ("warn", True)
            await engine.app.schedules.pause(NAME)
            assert await self.said(engine) == ("ok", "1 defined, 1 paused")

    async def said(self, engine: Engine) -> tuple[str, str]:
        async with engine.app.connection() as connection:
            found = await schedules_finding(connection)
        return found.level, found.text
