"""Many look at once; code of several versions; a service without workers."""

from __future__ import annotations

import asyncio
from asyncio import gather
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import datetime
from typing import Any

from headrace import Headrace, Pipeline
from headrace.store.schedules import ScheduleStatus
from headrace.store.session import Session
from headrace.telemetry.schedule_events import ScheduleFired
from headrace.testing import Engine
from headrace.worker.scheduler import Scheduler
from tests.schedules.conftest import MakeEngine
from tests.schedules.crontab import (
    DAY,
    HOUR,
    MINUTE,
    NAME,
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
from tests.waiting import eventually


class TestTwoAtOnce:
    async def test_many_who_look_at_the_same_time_make_one_job_a_slot(
        self, make_engine: MakeEngine
    ):
        pipe = scheduled("*/10 * * * *", missed="all")
        async with make_engine([pipe]) as engine, AsyncExitStack() as exits:
            apps = [engine.app_with([pipe]) for _ in range(4)]
            for app in apps:
                await exits.enter_async_context(app)
            await full_hour(engine)
            await gather(*(engine.run_schedules(app) for app in apps))
            for _ in range(5):
                await engine.move_clock(HOUR)
                await gather(*(engine.run_schedules(app) for app in apps))
                await engine.run_schedules()  # whoever had the duty may have ended before
            made = await inputs(engine)
        assert len(made) == 30
        assert len(set(made)) == 30

    async def test_the_row_decides_where_the_duty_does_not(self, make_engine: MakeEngine):
        """Each of three is between its look and its transaction when another one has gone on."""
        pipe = pipeline()
        inside: list[asyncio.Event] = []

        @pipe.schedule("0 * * * *")
        async def tick(slot: datetime) -> str:
            inside.append(asyncio.Event())
            await inside[-1].wait()
            return slot.isoformat()

        async with make_engine([pipe]) as engine:
            await begin(engine)
            await engine.move_clock(HOUR)
            looks = []
            for number in range(3):
                looks.append(asyncio.create_task(engine.run_schedules()))
                await eventually(lambda: len(inside) > number, within=30)  # noqa: B023
                async with (
                    engine.connection() as connection
                ):  # its lease is over, its call forgotten
                    await connection.execute("update headrace.duties set expires_at = '-infinity'")
                    await connection.execute("update headrace.schedules set calling_since = null")
            made = []
            for look, event in zip(looks, inside, strict=True):
                event.set()
                made.append(len(await look))
            assert len(await inputs(engine)) == 1
        assert made == [1, 0, 0]

    async def test_a_slow_function_is_called_once_and_holds_up_no_other(
        self, make_engine: MakeEngine
    ):
        pipe, inside, go_on = scheduled("* * * * *"), [], asyncio.Event()

        @pipe.schedule("0 * * * *")
        async def slow(slot: datetime) -> str:
            inside.append(slot)
            await go_on.wait()
            return slot.isoformat()

        async with make_engine([pipe]) as engine:
            await begin(engine)
            await full_hour(engine)
            async with engine.worker():
                for minutes in range(3):
                    await eventually(lambda: self.has(engine, 1 + minutes), within=30)  # noqa: B023
                    await engine.move_clock(MINUTE)
                assert len(inside) == 1
                go_on.set()
                await eventually(lambda: slots(engine, "slow"), within=30)

    async def test_who_calls_a_slow_function_is_not_taken_for_dead(self, make_engine: MakeEngine):
        pipe, inside, go_on = pipeline(), asyncio.Event(), asyncio.Event()

        @pipe.schedule("0 * * * *")
        async def tick(slot: datetime) -> str:
            inside.set()
            await go_on.wait()
            return slot.isoformat()

        async def until_when(engine: Engine) -> datetime:
            async with engine.connection() as connection:
                end: datetime = await connection.fetchval(
                    "select expires_at from headrace.duties where name like 'schedule %'"
                )
            return end

        async with make_engine([pipe]) as engine:
            await begin(engine)
            await engine.move_clock(HOUR)
            look = asyncio.create_task(engine.run_schedules())
            await inside.wait()
            first = await until_when(engine)

            async def is_kept() -> bool:
                return await until_when(engine) > first

            await eventually(is_kept, within=30)
            go_on.set()
            assert len(await look) == 1

    async def test_a_worker_that_is_stopped_meanwhile_has_not_failed(self, make_engine: MakeEngine):
        pipe, inside, go_on = pipeline(), asyncio.Event(), asyncio.Event()

        @pipe.schedule("0 * * * *")
        async def tick(slot: datetime) -> str:
            inside.set()
            await go_on.wait()
            return slot.isoformat()

        async with make_engine([pipe]) as engine:
            await begin(engine)
            await engine.move_clock(HOUR)
            with told() as events:
                async with engine.worker():
                    await inside.wait()
                go_on.set()
                await eventually(engine.run_schedules, within=30)  # once the duty is over
        assert [type(event) for event in events] == [ScheduleFired]

    async def test_workers_beside_each_other_make_one_job_a_slot(self, make_engine: MakeEngine):
        async with make_engine([scheduled("*/10 * * * *", missed="all")]) as engine:
            async with engine.worker(), engine.worker():
                for hours in range(1, 4):
                    await engine.move_clock(HOUR)
                    await eventually(lambda: self.has(engine, 6 * hours), within=30)  # noqa: B023
            assert len(set(await inputs(engine))) == len(await inputs(engine))

    async def has(self, engine: Engine, count: int) -> bool:
        return len(await slots(engine)) >= count


class TestDefinitions:
    async def seen_by(self, engine: Engine, *pipes: Pipeline[Any, Any]) -> list[ScheduleStatus]:
        """What stands in the table after a worker of this code has started."""
        async with engine.app_with(pipes) as app:
            await engine.run_schedules(app)
        return await engine.app.schedules.list()

    async def test_another_time_counts_from_now(self, make_engine: MakeEngine):
        async with make_engine([scheduled("0 * * * *", missed="all")]) as engine:
            await begin(engine)
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
            await begin(engine)
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
            await begin(engine)
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
            await begin(engine)
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
            await begin(engine)
            async with engine.worker():
                await eventually(lambda: self.is_listed(engine), within=30)
                await self.seen_by(engine, scheduled("30 */2 * * *"))
                await engine.move_clock(2 * HOUR)
                await self.seen_by(engine, scheduled("30 */2 * * *"))
            assert {slot.minute for slot in await slots(engine)} == {30}

    async def is_listed(self, engine: Engine) -> bool:
        return bool(await engine.app.schedules.list())


class TestLooks:
    async def pause_s(self, engine: Engine, app: Headrace | None = None) -> float:
        """How long a worker rests after its first look, where its poll is a day away."""
        worker = (app or engine.app).worker(timing=replace(engine.timing, poll=DAY))
        session = Session(lambda: engine.app.connect("test"))
        scheduler = Scheduler(session, 1, worker.parts)
        try:
            await scheduler.tick()
            return scheduler._pause_s()
        finally:
            await scheduler.stop()
            session.close()
            await worker.close()

    async def test_it_rests_until_the_next_slot(self, make_engine: MakeEngine):
        async with make_engine([scheduled("0 * * * *")]) as engine:
            await begin(engine)
            assert 3_500 < await self.pause_s(engine) < 3_600

    async def test_while_one_is_paused_it_looks_again_soon(self, make_engine: MakeEngine):
        async with make_engine([scheduled("0 * * * *")]) as engine:
            await begin(engine)
            await engine.app.schedules.pause(NAME)
            assert await self.pause_s(engine) == engine.timing.reap.total_seconds()

    async def test_without_schedules_it_hardly_looks_at_all(self, make_engine: MakeEngine):
        async with make_engine([scheduled("0 * * * *")]) as engine:
            await begin(engine)
            async with engine.app_with([pipeline("others")]) as app:
                assert await self.pause_s(engine, app) == 3_600


class TestRepairs:
    async def test_a_new_version_is_tried_at_once(self, make_engine: MakeEngine):
        """The one before it would have waited for minutes."""
        pipe = pipeline()

        @pipe.schedule("0 * * * *", missed="all")
        def tick(slot: datetime) -> str:
            raise LookupError(slot)

        async with make_engine([pipe]) as engine:
            await begin(engine)
            await full_hour(engine)
            for _ in range(9):
                await engine.run_schedules()
                await engine.move_clock(5 * MINUTE)
            await engine.run_schedules()
            mended = scheduled(missed="all", version="1.0.1")
            async with engine.app_with([mended]) as app:
                await eventually(lambda: engine.run_schedules(app), within=30)
            assert (await status(engine)).state == "active"

    async def test_what_died_of_the_version_before_is_none_of_its_failures(
        self, make_engine: MakeEngine
    ):
        async with make_engine([scheduled()]) as engine:
            await begin(engine)
            async with engine.connection() as connection:  # as a worker that died in the function
                await connection.execute(
                    "update headrace.schedules set calling_since = headrace.now()"
                )
            await engine.move_clock(HOUR)
            async with engine.app_with([scheduled(version="1.0.1")]) as app:
                assert len(await engine.run_schedules(app)) == 1


class TestRetention:
    async def test_slots_go_with_the_jobs_of_their_time(self, make_engine: MakeEngine):
        async with make_engine([scheduled()]) as engine:
            await begin(engine)
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
            await full_hour(engine)
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
            await begin(engine)
            await engine.move_clock(3 * HOUR)
            await engine.app.worker(timing=engine.timing).run(until_empty=True)
            assert [job.state for job in await engine.jobs()] == ["completed"]
