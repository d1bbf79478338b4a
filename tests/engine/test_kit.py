"""The kit with which users test their pipelines, and this folder tests the engine."""

from __future__ import annotations

import gc
import os
import signal
from datetime import timedelta

import asyncpg
import pytest

from headrace import JobState, Pipeline, Retry, RetryAfter
from headrace.errors import InvalidError, JobNotFoundError
from headrace.store.clock import move_clock
from headrace.testing import NotEmptyError
from tests.engine.conftest import MakeEngine
from tests.waiting import eventually

HERE = "tests.engine.test_kit"
WAITING = """\
select count(*) from pg_stat_activity
where datname = current_database() and wait_event_type = 'Lock'
"""

doubling = Pipeline("doubling", input=int, output=int)


@doubling.step
async def double(number: int) -> int:
    return 2 * number


failing = Pipeline("failing", input=str, output=str)


@failing.step(retry=Retry(attempts=2, first=60, jitter=0))
async def fail(text: str) -> str:
    raise RuntimeError(f"no {text}")


class TestEngine:
    async def test_a_submitted_job_runs_only_when_it_is_told_to(self, make_engine: MakeEngine):
        async with make_engine([doubling]) as engine:
            job = await engine.submit(doubling, 21)
            assert (await engine.job(job)).state is JobState.QUEUED
            await engine.run_until_empty()
            assert await job.result() == 42

    async def test_each_engine_has_a_database_of_its_own_that_is_dropped(
        self, make_engine: MakeEngine, database_server: str
    ):
        async with make_engine([doubling]) as one, make_engine([doubling]) as other:
            await one.submit(doubling, 1)
            assert await other.jobs() == []
            addresses = [one.database, other.database]
        connection = await asyncpg.connect(database_server)
        names = {row[0] for row in await connection.fetch("select datname from pg_database")}
        await connection.close()
        assert not names & {address.rpartition("/")[2].split("?")[0] for address in addresses}

    async def test_outside_its_block_it_says_what_to_write(self, make_engine: MakeEngine):
        with pytest.raises(InvalidError, match="async with Engine"):
            await make_engine([doubling]).submit(doubling, 1)


class TestRunUntilEmpty:
    async def test_it_says_what_still_waits_and_why(self, make_engine: MakeEngine):
        async with make_engine([failing]) as engine, engine.worker():
            job = await engine.submit(failing, "luck")
            await eventually(lambda: engine.tries(job))
            with pytest.raises(NotEmptyError) as caught:
                await engine.run_until_empty(timeout=0.1)
        text = str(caught.value)
        assert f"failing {job.id} waits for another 5" in text
        assert "(retry); last error: no luck" in text

    async def test_it_says_that_a_queue_is_paused(self, make_engine: MakeEngine):
        async with make_engine([doubling]) as engine:
            await engine.submit(doubling, 1)
            async with engine.connection() as connection:
                await connection.execute(
                    "insert into headrace.queues (name, paused_at) values ('default', now())"
                    " on conflict (name) do update set paused_at = now()"
                )
            with pytest.raises(NotEmptyError, match="queue 'default' is paused"):
                await engine.run_until_empty(timeout=0.3)

    async def test_it_does_not_wait_for_a_worker_that_has_ended(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        async def work(number: int) -> int:
            worker.stop()
            raise RetryAfter(60 * number)

        async with make_engine([pipe]) as engine, engine.worker() as worker:
            await engine.submit(pipe, 1)
            with pytest.raises(NotEmptyError, match="the worker has ended"):
                await engine.run_until_empty()

    async def test_waits_are_skipped_by_moving_the_clock(self, make_engine: MakeEngine):
        async with make_engine([failing]) as engine:
            job = await engine.submit(failing, "luck")
            await engine.run_until_empty(skip_waits=True)
            assert (await engine.job(job)).state is JobState.FAILED
            first, second = await engine.tries(job)
            assert first.due_at is not None
            assert second.failed_at < first.due_at, "the server's own clock was not moved"

    async def test_a_job_for_tomorrow_does_not_count(self, make_engine: MakeEngine):
        async with make_engine([doubling]) as engine:
            job = await engine.submit(doubling, 1, due=timedelta(days=1))
            await engine.run_until_empty()
            assert (await engine.job(job)).state is JobState.QUEUED


class TestWorker:
    async def test_the_test_s_process_is_left_as_it_was(self, make_engine: MakeEngine):
        before = gc.get_threshold(), gc.get_freeze_count()
        async with make_engine([doubling]) as engine:
            await engine.run_until_empty()
        assert (gc.get_threshold(), gc.get_freeze_count()) == before


class TestMoveClock:
    async def test_what_waited_until_then_is_due(self, make_engine: MakeEngine):
        async with make_engine([doubling]) as engine, engine.worker():
            job = await engine.submit(doubling, 1, due=timedelta(days=1))
            await engine.move_clock(timedelta(hours=23))
            assert (await engine.job(job)).state is JobState.QUEUED
            await engine.move_clock(timedelta(hours=2))
            assert await job.result(timeout=5) == 2

    async def test_moves_add_up_and_workers_keep_their_leases(self, make_engine: MakeEngine):
        async with make_engine([doubling]) as engine, engine.worker() as worker:
            number = worker.number
            await engine.move_clock(timedelta(days=1))
            await engine.move_clock(timedelta(days=1))
            job = await engine.submit(doubling, 1)
            await job.result(timeout=5)
            assert worker.number == number
            assert (await engine.events(job))[1].worker == number
            async with engine.connection() as connection:
                offset = await connection.fetchval("select headrace.now() - now()")
            assert timedelta(days=2) <= offset < timedelta(days=2, minutes=1)

    async def test_a_heartbeat_that_meets_a_move_counts_from_the_moved_clock(
        self, make_engine: MakeEngine
    ):
        """Else the worker would be marked lost while it does what the move made due."""
        async with make_engine([doubling]) as engine, engine.worker(), engine.connection() as held:

            async def waiting() -> bool:
                return bool(await held.fetchval(WAITING))

            async def none_waits() -> bool:
                return not await waiting()

            mover = await asyncpg.connect(engine.database)
            try:
                async with mover.transaction():
                    await move_clock(mover, timedelta(hours=1), keep_leases=True)
                    await eventually(waiting)
            finally:
                await mover.close()
            await eventually(none_waits)
            left = "select min(expires_at - headrace.now()) from headrace.workers"
            # Not an hour ago; how long the heartbeat was kept waiting is this machine's affair.
            assert await held.fetchval(left) > -timedelta(minutes=30)

    async def test_without_leases_a_worker_looks_as_if_it_had_been_silent(
        self, make_engine: MakeEngine
    ):
        async with make_engine([doubling]) as engine, engine.worker() as worker:
            number = worker.number

            async def is_lost() -> bool:  # again and again: it renews in between
                await engine.move_clock(timedelta(days=1), keep_leases=False)
                return worker.number not in {0, number}

            await eventually(is_lost)

    async def test_it_never_goes_back(self, make_engine: MakeEngine):
        async with make_engine([doubling]) as engine:
            with pytest.raises(InvalidError, match="forward"):
                await engine.move_clock(timedelta(seconds=-1))


class TestCrashAt:
    @pytest.mark.parametrize(
        "point",
        [
            "claim.after_commit",
            "attempt.after_effect",
            "ledger.finish.before",
            "ledger.finish.after_commit",
        ],
    )
    async def test_the_job_ends_whatever_the_point(self, make_engine: MakeEngine, point: str):
        async with make_engine([doubling]) as engine:
            job = await engine.submit(doubling, 21)
            await engine.crash_at(point, app=f"{HERE}:doubling")
            done = point.endswith("finish.after_commit")
            expected = JobState.COMPLETED if done else JobState.RUNNING
            assert (await engine.job(job)).state is expected
            await engine.run_until_empty()
            assert await job.result() == 42
            assert (await engine.job(job)).lease_losses == (0 if done else 1)

    async def test_a_point_that_is_never_reached_is_an_error(self, make_engine: MakeEngine):
        async with make_engine([doubling]) as engine:
            with pytest.raises(TimeoutError, match=r"ledger\.finish\.before was not reached"):
                await engine.crash_at("ledger.finish.before", app=f"{HERE}:doubling", timeout=1)


class TestSpawn:
    async def test_a_process_works_until_it_is_stopped(self, make_engine: MakeEngine):
        async with make_engine([doubling]) as engine:
            async with engine.spawn(f"{HERE}:doubling") as process:
                job = await engine.submit(doubling, 1)
                assert await job.result(timeout=5) == 2
                process.send_signal(signal.SIGTERM)
                assert await process.wait() == 0
            assert (await engine.events(job))[1].worker == process.number

    async def test_an_app_that_cannot_be_imported_is_told(self, make_engine: MakeEngine):
        async with make_engine([doubling]) as engine:
            with pytest.raises(RuntimeError, match="no_such_name"):
                async with engine.spawn(f"{HERE}:no_such_name"):
                    pass

    async def test_the_process_is_gone_after_the_block(self, make_engine: MakeEngine):
        async with make_engine([doubling]) as engine:
            async with engine.spawn(f"{HERE}:doubling") as process:
                os.kill(process.pid, 0)
            with pytest.raises(ProcessLookupError):
                os.kill(process.pid, 0)


class TestRows:
    async def test_rows_tell_what_the_engine_did(self, make_engine: MakeEngine):
        async with make_engine([doubling, failing]) as engine:
            good, bad = await engine.submit(doubling, 2), await engine.submit(failing, "luck")
            await engine.run_until_empty(skip_waits=True)
            assert [row.id for row in await engine.jobs(pipeline="doubling")] == [good.id]
            assert [row.id for row in await engine.jobs(state=JobState.FAILED)] == [bad.id]
            [step] = await engine.steps(good)
            assert (step.step, step.item, step.output, step.attempts) == ("double", None, 4, 1)
            assert [(t.attempt, t.kind, t.code) for t in await engine.tries(bad)] == [
                (1, "unknown", "RuntimeError"),
                (2, "unknown", "RuntimeError"),
            ]
            events = await engine.events(good)
            assert [(e.from_state, e.to_state) for e in events] == [
                (None, "queued"),
                ("queued", "running"),
                ("running", "completed"),
            ]

    async def test_an_unknown_job_is_an_error(self, make_engine: MakeEngine):
        async with make_engine([doubling]) as engine:
            with pytest.raises(JobNotFoundError):
                await engine.job("01990000-0000-7000-8000-000000000000")


class TestClear:
    async def test_what_is_queued_in_the_queue_is_gone_and_nothing_else(
        self, make_engine: MakeEngine
    ):
        other = Pipeline("other", input=int, output=int, queue="other")
        other.step(double)
        async with make_engine([doubling, other]) as engine:
            done = await engine.submit(doubling, 1)
            await engine.run_until_empty()
            await engine.submit_many(doubling, [1, 2])
            kept = await engine.submit(other, 3)
            assert await engine.clear() == 2
            assert {row.id for row in await engine.jobs()} == {done.id, kept.id}
            async with engine.connection() as connection:
                left = await connection.fetch("select distinct job from headrace.job_events")
            assert {str(row["job"]) for row in left} == {done.id, kept.id}
