"""Steps hold locks; what loses one stops."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import timedelta

import pytest

from headrace import (
    Headrace,
    JobState,
    Pipeline,
    Retry,
    StepContext,
    SyncContext,
    SyncLock,
    Transaction,
)
from headrace.errors import InvalidError, LockLostError
from headrace.testing import Engine
from tests.engine.conftest import MakeEngine
from tests.waiting import eventually

TENANT = "default"


async def force(engine: Engine, key: str) -> None:
    await engine.app.locks.force_release(key, tenant=TENANT, actor="test", reason="test")


async def changes(engine: Engine, key: str) -> list[tuple[str, int]]:
    async with engine.app.connection() as connection:
        rows = await connection.fetch(
            "select change, token from headrace.lock_grants where key = $1 order by at, token", key
        )
    return [(row["change"], row["token"]) for row in rows]


class TestHolding:
    async def test_two_jobs_hold_a_lock_one_after_the_other(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=int)
        inside: list[int] = []
        most: list[int] = []

        @pipe.step
        async def work(number: int, ctx: StepContext) -> int:
            async with ctx.lock("repo:42", wait=30) as lock:
                inside.append(number)
                most.append(len(inside))
                await asyncio.sleep(0.01)
                inside.remove(number)
                return lock.token

        async with make_engine([pipe]) as engine:
            jobs = await engine.submit_many(pipe, range(8))
            await engine.run_until_empty()
            tokens = [await job.result() for job in jobs]
            assert most == [1] * 8
            assert len(set(tokens)) == 8
            told = await changes(engine, "repo:42")
            assert [change for change, _ in told] == ["granted", "released"] * 8
            assert [token for _, token in told] == [
                n for token in sorted(tokens) for n in [token] * 2
            ]

    async def test_a_plain_function_holds_one_too(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=int)
        order: list[str] = []

        @pipe.step
        def work(_number: int, ctx: SyncContext) -> int:
            with ctx.lock("repo:42", wait=30, reason="push") as lock:
                order.append("in")
                time.sleep(0.01)
                lock.check()
                assert not lock.is_lost
                order.append("out")
                return lock.token

        async with make_engine([pipe]) as engine:
            jobs = await engine.submit_many(pipe, range(4))
            await engine.run_until_empty()
            assert len({await job.result() for job in jobs}) == 4
            assert order == ["in", "out"] * 4

    async def test_the_same_key_of_another_tenant_is_another_lock(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=str)
        both = asyncio.Barrier(2)

        @pipe.step
        async def work(_number: int, ctx: StepContext) -> str:
            async with ctx.lock("repo:42"):
                await both.wait()
            return ctx.tenant

        async with make_engine([pipe]) as engine:
            jobs = [await engine.submit(pipe, 1, tenant=tenant) for tenant in ("a", "b")]
            await engine.run_until_empty()
            assert [await job.result() for job in jobs] == ["a", "b"]

    async def test_who_may_not_wait_is_put_off_without_an_attempt(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step(retry=Retry(attempts=1))
        async def work(number: int, ctx: StepContext) -> int:
            async with ctx.lock("repo:42"):
                return number

        async with make_engine([pipe]) as engine:
            async with engine.app.lock("repo:42", reason="a release"):
                job = await engine.submit(pipe, 7)
                async with engine.worker():
                    await eventually(lambda: engine.tries(job))
            await engine.run_until_empty(skip_waits=True)
            assert await job.result() == 7
            tried = (await engine.tries(job))[0]
            assert (tried.kind, tried.code) == ("lock_busy", "LOCK_BUSY")
            assert "'repo:42' is held by " in tried.message


class TestFencing:
    async def test_nobody_takes_a_lock_before_a_verified_transaction_has_ended(
        self, make_engine: MakeEngine
    ):
        pipe = Pipeline("pipe", input=int, output=int)
        left, commit = asyncio.Event(), asyncio.Event()

        @pipe.step
        async def work(number: int, ctx: StepContext, transaction: Transaction) -> int:
            async with ctx.lock("repo:42") as lock:
                await lock.verify(transaction)
            left.set()
            await commit.wait()
            return number

        async with make_engine([pipe]) as engine:
            await engine.submit(pipe, 7)
            async with engine.worker():
                await left.wait()
                locks = engine.app.locks
                assert await locks.get("repo:42", tenant=TENANT) is None
                request = locks.request("repo:42", tenant=TENANT)
                assert await locks.try_acquire(request) is None
                commit.set()
                async with engine.app.lock("repo:42", wait=30):
                    pass

    async def test_a_lock_that_was_lost_lets_no_transaction_commit(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=int)
        engine: Engine

        @pipe.step(retry=Retry(attempts=1))
        async def work(number: int, ctx: StepContext, transaction: Transaction) -> int:
            await transaction.execute("insert into notes values ($1)", ctx.attempt)
            async with ctx.lock("repo:42") as lock:
                if ctx.attempt == 1:
                    await force(engine, "repo:42")
                await lock.verify(transaction)
            return number

        async with make_engine([pipe]) as engine:
            async with engine.app.connection() as connection:
                await connection.execute("create table notes (attempt integer)")
            job = await engine.submit(pipe, 7)
            await engine.run_until_empty(skip_waits=True)
            assert await job.result() == 7
            assert [tried.code for tried in await engine.tries(job)] == ["LOCK_LOST"]
            async with engine.app.connection() as connection:
                assert await connection.fetchval("select array_agg(attempt) from notes") == [2]


class TestLosing:
    async def test_a_block_whose_lock_was_taken_away_is_cancelled_and_the_job_goes_on_later(
        self, make_engine: MakeEngine
    ):
        pipe = Pipeline("pipe", input=int, output=int)
        began = asyncio.Event()
        ends: list[str] = []

        @pipe.step(retry=Retry(attempts=1))
        async def work(number: int, ctx: StepContext) -> int:
            if ctx.attempt > 1:
                return number
            try:
                async with ctx.lock("repo:42", ttl=1):
                    began.set()
                    try:
                        await asyncio.Event().wait()
                    except asyncio.CancelledError:
                        ends.append("cancelled")
                        raise
            except LockLostError as error:
                ends.append(error.key)
                raise
            return number

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 7)
            async with engine.worker():
                await began.wait()
                await force(engine, "repo:42")
                await eventually(lambda: engine.tries(job))
            await engine.run_until_empty(skip_waits=True)
            assert await job.result() == 7
            assert ends == ["cancelled", "repo:42"]
            [tried] = await engine.tries(job)
            assert (tried.kind, tried.code) == ("lock_busy", "LOCK_LOST")

    async def test_a_plain_function_sees_it_and_leaving_the_block_raises(
        self, make_engine: MakeEngine
    ):
        pipe = Pipeline("pipe", input=int, output=int)
        held: list[SyncLock] = []
        seen: list[str] = []

        @pipe.step(retry=Retry(attempts=1))
        def work(number: int, ctx: SyncContext) -> int:
            if ctx.attempt > 1:
                return number
            with ctx.lock("repo:42", ttl=1) as lock:
                held.append(lock)
                while not lock.is_lost:
                    time.sleep(0.01)
                with pytest.raises(LockLostError):
                    lock.check()
                seen.append("lost")
            seen.append("never")
            return number

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 7)
            async with engine.worker():
                await eventually(lambda: held)
                await force(engine, "repo:42")
                await eventually(lambda: engine.tries(job))
            await engine.run_until_empty(skip_waits=True)
            assert await job.result() == 7
            assert seen == ["lost"]

    async def test_a_cancelled_job_gives_its_lock_back(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=int)
        began = asyncio.Event()

        @pipe.step
        async def work(number: int, ctx: StepContext) -> int:
            async with ctx.lock("repo:42"):
                began.set()
                await asyncio.Event().wait()
            return number

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 7)
            async with engine.worker():
                await began.wait()
                await job.cancel()
                async with engine.app.lock("repo:42", wait=30):
                    pass
            assert (await engine.job(job)).state is JobState.CANCELLED

    async def test_a_waiting_function_in_a_thread_stops_when_its_job_is_cancelled(
        self, make_engine: MakeEngine
    ):
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        def work(number: int, ctx: SyncContext) -> int:
            with ctx.lock("repo:42", wait=3_000):
                return number

        async with make_engine([pipe]) as engine, engine.app.lock("repo:42"):
            job = await engine.submit(pipe, 7)
            async with engine.worker():

                async def is_running() -> bool:
                    return (await engine.job(job)).state is JobState.RUNNING

                await eventually(is_running)
                await job.cancel()

                async def is_cancelled() -> bool:
                    return (await engine.job(job)).state is JobState.CANCELLED

                await eventually(is_cancelled)


class TestDeadWorkers:
    async def test_a_living_worker_frees_the_locks_of_a_dead_one(self, make_engine: MakeEngine):
        async with make_engine([]) as engine, engine.worker():
            locks, nobody = engine.app.locks, 999_999
            lease = await locks.acquire(locks.request("repo:42", tenant=TENANT))
            async with engine.app.connection() as connection:
                await connection.execute("update headrace.locks set worker = $1", nobody)

            async def is_freed() -> bool:
                return ("superseded", lease.token) in await changes(engine, "repo:42")

            await eventually(is_freed)

    async def test_a_worker_that_was_given_up_hears_that_it_lost_its_locks(
        self, make_engine: MakeEngine
    ):
        pipe = Pipeline("pipe", input=int, output=int)
        held: list[SyncLock] = []
        go_on = threading.Event()

        @pipe.step
        def work(number: int, ctx: SyncContext) -> int:
            if held:
                return number
            with ctx.lock("repo:42", ttl=3_600) as lock:
                held.append(lock)
                go_on.wait()
            return number

        async with make_engine([pipe]) as engine:
            await engine.submit(pipe, 7)
            async with engine.worker():
                await eventually(lambda: held)
                async with engine.app.connection() as connection:
                    await connection.execute("update headrace.workers set lost_at = now()")
                try:
                    await eventually(lambda: held[0].is_lost)
                finally:
                    go_on.set()


class TestRefusing:
    @pytest.mark.parametrize(
        ("key", "options", "said"),
        [
            ("", {}, "1 to 512 characters"),
            ("k" * 513, {}, "1 to 512 characters"),
            ("a\0b", {}, "NUL"),
            ("k", {"ttl": 0.5}, "ttl is 1 to 3600 s, not 0.5"),
            ("k", {"ttl": timedelta(hours=2)}, "ttl is 1 to 3600 s, not 7200"),
            ("k", {"wait": -1}, "wait is 0 to 3600 s, not -1"),
            ("k", {"wait": float("nan")}, "wait is 0 to 3600 s, not nan"),
        ],
    )
    def test_what_no_lock_can_be_is_refused_when_it_is_asked_for(
        self, key: str, options: dict[str, float], said: str
    ):
        with pytest.raises(InvalidError, match=said):
            Headrace([]).lock(key, **options)
