"""How jobs come to a worker: by a ring, in time, by polling, in order."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from time import monotonic

from headrace import Pipeline
from headrace.worker.timing import Timing
from tests.engine.conftest import MakeEngine
from tests.waiting import eventually, pulsing

QUEUES = ("default", "other")
LAZY = replace(Timing().scaled(1 / 15), poll=timedelta(hours=1), silence=timedelta(hours=1))
"""Who is not rung for looks once an hour."""


def echoing(ran: list[int], name: str = "echo", queue: str = "default") -> Pipeline[int, int]:
    pipe = Pipeline(name, input=int, output=int, queue=queue)

    @pipe.step
    async def work(number: int) -> int:
        ran.append(number)
        return number

    return pipe


class TestDoorbell:
    async def test_an_idle_worker_starts_a_job_long_before_it_would_look(
        self, make_engine: MakeEngine
    ):
        pipe = echoing([])
        async with make_engine([pipe]) as engine, engine.worker(timing=LAZY):
            for number in (1, 2):
                assert await (await engine.submit(pipe, number)).result(timeout=10) == number

    async def test_a_ring_that_is_lost_costs_no_more_than_the_pause_between_two_polls(
        self, make_engine: MakeEngine
    ):
        pipe = echoing([])
        async with make_engine([pipe]) as engine, engine.worker():
            await (await engine.submit(pipe, 1)).result(timeout=10)
            async with engine.connection() as connection:
                job = await engine.submit(pipe, 2, connection=connection, ring=False)
            assert await job.result(timeout=4) == 2

    async def test_a_session_that_was_cut_is_made_again(self, make_engine: MakeEngine):
        pipe = echoing([])
        async with make_engine([pipe]) as engine, engine.worker() as worker:
            await (await engine.submit(pipe, 1)).result(timeout=10)
            number = worker.number
            async with engine.connection() as connection:
                cut = await connection.fetchval(
                    "select count(*) filter (where pg_terminate_backend(pid))"
                    " from pg_stat_activity where datname = current_database()"
                    " and application_name like 'headrace worker%'"
                )
            assert cut >= 3
            assert await (await engine.submit(pipe, 2)).result(timeout=5) == 2
            assert worker.number == number, "it was never taken for dead"

    async def test_a_scheduled_job_starts_in_time_on_an_idle_worker(self, make_engine: MakeEngine):
        pipe = echoing([])
        async with make_engine([pipe]) as engine, engine.worker(timing=LAZY):
            started = monotonic()
            async with pulsing() as pulse:
                job = await engine.submit(pipe, 1, due=timedelta(seconds=1))
                assert await job.result(timeout=10) == 1
            assert monotonic() - started > 0.95
            assert pulse.seconds < 3


class TestOrder:
    async def test_priority_is_a_head_start_of_a_minute_a_point(self, make_engine: MakeEngine):
        ran: list[int] = []
        pipe = echoing(ran)
        async with make_engine([pipe]) as engine:
            await engine.submit(pipe, 3, priority="low")
            await engine.submit(pipe, 2)
            await engine.submit(pipe, 1, priority="high")
            await engine.run_until_empty(concurrency=1)
        assert ran == [1, 2, 3]

    async def test_a_low_job_is_overtaken_for_eight_minutes_at_most(self, make_engine: MakeEngine):
        ran: list[int] = []
        pipe = echoing(ran)
        async with make_engine([pipe]) as engine:
            await engine.submit(pipe, 1, priority="low")
            await engine.move_clock(timedelta(minutes=9))
            await engine.submit(pipe, 2, priority="high")
            await engine.run_until_empty(concurrency=1)
        assert ran == [1, 2]

    async def test_tenants_take_turns_and_each_has_an_order_of_its_own(
        self, make_engine: MakeEngine
    ):
        ran: list[int] = []
        pipe = echoing(ran)
        async with make_engine([pipe]) as engine:
            for number in range(10, 20):
                await engine.submit(pipe, number, tenant="large", priority="high")
            await engine.submit(pipe, 2, tenant="small")
            await engine.submit(pipe, 1, tenant="small", priority="high")
            await engine.run_until_empty(concurrency=1)
        assert sorted(ran[:4]) == [1, 2, 10, 11]
        assert [number for number in ran if number < 10] == [1, 2]
        assert [number for number in ran if number >= 10] == list(range(10, 20))


class TestQueues:
    async def test_a_worker_takes_from_its_own_queues_only(self, make_engine: MakeEngine):
        ran: list[int] = []
        one, other = echoing(ran, "one"), echoing(ran, "other", queue="other")
        async with make_engine([one, other]) as engine, engine.worker(queues=["other"]):
            left = await engine.submit(one, 1)
            assert await (await engine.submit(other, 2)).result(timeout=5) == 2
            assert len(await engine.events(left)) == 1
        assert ran == [2]

    async def test_a_paused_queue_starts_nothing_until_it_is_resumed(self, make_engine: MakeEngine):
        pipe, other = echoing([], "one"), echoing([], "other", queue="other")
        async with make_engine([pipe, other]) as engine, engine.worker(queues=QUEUES):
            await (await engine.submit(pipe, 1)).result(timeout=5)
            await engine.app.pause_queue("default")
            waiting = await engine.submit(pipe, 2)
            assert await (await engine.submit(other, 3)).result(timeout=5) == 3
            assert len(await engine.events(waiting)) == 1
            await engine.app.resume_queue("default")
            assert await waiting.result(timeout=5) == 2


class TestConcurrency:
    async def test_no_more_jobs_run_at_once_than_there_are_slots(self, make_engine: MakeEngine):
        at_once = most = 0
        full = asyncio.Event()
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        async def work(number: int) -> int:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            if at_once == 4:
                full.set()
            async with asyncio.timeout(5):
                await full.wait()
            await asyncio.sleep(0.002)
            at_once -= 1
            return number

        async with make_engine([pipe]) as engine:
            await engine.submit_many(pipe, range(40))
            await engine.run_until_empty(concurrency=4)
        assert most == 4

    async def test_two_workers_share_the_jobs_and_never_run_the_same_one(
        self, make_engine: MakeEngine
    ):
        ran: list[int] = []
        ten = asyncio.Barrier(10)
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        async def work(number: int) -> int:
            ran.append(number)
            async with asyncio.timeout(10):
                await ten.wait()  # twice as many as one worker runs
            return number

        async with make_engine([pipe]) as engine:
            async with engine.worker(concurrency=5), engine.worker(concurrency=5):
                await engine.submit_many(pipe, range(100))
                await engine.run_until_empty()
            events = [(await engine.events(job.id))[1] for job in await engine.jobs()]
        assert sorted(ran) == list(range(100))
        assert set(Counter(event.worker for event in events).values()) == {50}


class TestMemory:
    async def test_nothing_is_kept_of_jobs_that_have_ended(self, make_engine: MakeEngine):
        pipe = echoing([])
        async with make_engine([pipe]) as engine, engine.worker() as worker:
            await engine.submit_many(pipe, range(100))
            await engine.run_until_empty()
            life = worker.worker.life
            assert life is not None
            await eventually(lambda: not life.executor.runs and not life.ledger.pending)
            async with engine.connection() as connection:
                await eventually(lambda: is_empty(connection, "claims"))
                assert await is_empty(connection, "queued")
                assert await is_empty(connection, "progress")


async def is_empty(connection: object, table: str) -> bool:
    return not await connection.fetchval(f"select count(*) from headrace.{table}")  # type: ignore[attr-defined]  # noqa: S608
