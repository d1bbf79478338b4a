"""Steps that write in the transaction of their own checkpoint."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from headrace import JobState, PermanentError, Pipeline, Retry, StepContext, Transaction
from headrace.testing import Engine
from headrace.worker.timing import Timing
from tests.engine.conftest import MakeEngine
from tests.engine.wire import commit, wire_to
from tests.waiting import eventually

SCALED = Timing().scaled(1 / 15)
AGAIN = Retry(attempts=3, first=5, jitter=0)

booking = Pipeline("booking", input=int, output=int)


@booking.step(retry=AGAIN)
async def book(number: int, tx: Transaction) -> int:
    await tx.execute("insert into bookings values ($1)", number)
    return number


@contextlib.asynccontextmanager
async def bookings(made: Engine) -> AsyncIterator[Engine]:
    """An engine whose database has a table of the user's."""
    async with made as engine:
        async with engine.connection() as connection:
            await connection.execute("create table bookings (number integer)")
        yield engine


async def count(engine: Engine) -> int:
    async with engine.connection() as connection:
        return int(await connection.fetchval("select count(*) from bookings"))


class TestExactlyOnce:
    async def test_the_row_and_the_checkpoint_have_one_transaction(self, make_engine: MakeEngine):
        async with bookings(make_engine([booking])) as engine:
            job = await engine.submit(booking, 7)
            await engine.run_until_empty()
            assert await job.result() == 7
            async with engine.connection() as connection:
                transactions = await connection.fetch(
                    "select xmin::text from bookings union all select xmin::text"
                    " from headrace.steps"
                )
            assert len({row["xmin"] for row in transactions}) == 1

    @pytest.mark.parametrize(
        "point",
        ["attempt.after_effect", "ledger.change.before", "ledger.change.after_commit"],
    )
    async def test_a_crash_around_it_makes_no_second_row_and_loses_none(
        self, make_engine: MakeEngine, point: str
    ):
        async with bookings(make_engine([booking])) as engine:
            job = await engine.submit(booking, 7)
            await engine.crash_at(point, app=f"{__name__}:booking")
            await engine.run_until_empty()
            assert await job.result() == 7
            assert await count(engine) == 1

    async def test_a_commit_whose_answer_is_lost_is_looked_up_and_not_repeated(
        self, make_engine: MakeEngine
    ):
        runs: list[int] = []
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step(retry=AGAIN)
        async def work(number: int, tx: Transaction) -> int:
            runs.append(number)
            await tx.execute("insert into bookings values ($1)", number)
            return number

        async with bookings(make_engine([pipe])) as engine, wire_to(engine.database) as wire:
            async with (
                engine.app_with([pipe], database=wire.address) as app,
                engine.worker(app=app),
            ):
                wire.lose_answer("steps", commit)
                job = await engine.submit(pipe, 7)
                assert await job.result(timeout=10) == 7
                assert wire.fired.is_set()
            assert await count(engine) == 1
            assert await engine.tries(job) == []
        assert runs == [7]

    async def test_a_limit_that_passes_during_the_commit_does_not_repeat_it(
        self, make_engine: MakeEngine
    ):
        runs: list[int] = []
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step(timeout=0.5, retry=AGAIN)
        async def work(number: int, tx: Transaction) -> int:
            runs.append(number)
            await tx.execute("insert into bookings values ($1)", number)
            return number

        made = make_engine([pipe], timing=replace(SCALED, cancel_kill=timedelta(seconds=5)))
        async with bookings(made) as engine, wire_to(engine.database) as wire:
            async with (
                engine.app_with([pipe], database=wire.address) as app,
                engine.worker(app=app),
            ):
                # It opens the connection, so that the time of the next one is the commit's alone.
                await (await engine.submit(pipe, 6)).result(timeout=20)
                wire.hold_answer("steps", commit)
                job = await engine.submit(pipe, 7)
                await asyncio.wait_for(wire.fired.wait(), 10)
                await eventually(lambda: stored(engine, job.id))
                await asyncio.sleep(0.7)  # the limit passes while the answer is on its way
                wire.release()
                assert await job.result(timeout=10) == 7
            assert await count(engine) == 2
            assert await engine.tries(job) == []
        assert runs.count(7) == 1


async def stored(engine: Engine, job: str) -> bool:
    return bool(await engine.steps(job))


class TestFailures:
    async def test_everything_is_rolled_back_with_the_step(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        async def work(number: int, tx: Transaction) -> int:
            await tx.execute("insert into bookings values ($1)", number)
            raise PermanentError("the customer is gone")

        async with bookings(make_engine([pipe])) as engine:
            job = await engine.submit(pipe, 7)
            await engine.run_until_empty()
            assert (await engine.job(job)).state is JobState.FAILED
            assert await count(engine) == 0

    async def test_only_the_try_that_succeeds_is_seen(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step(retry=AGAIN)
        async def work(number: int, ctx: StepContext, tx: Transaction) -> int:
            await tx.execute("insert into bookings values ($1)", ctx.attempt)
            if ctx.attempt < 3:
                raise RuntimeError
            return number

        async with bookings(make_engine([pipe])) as engine:
            job = await engine.submit(pipe, 7)
            await engine.run_until_empty(skip_waits=True)
            assert await job.result() == 7
            async with engine.connection() as connection:
                assert await connection.fetchval("select array_agg(number) from bookings") == [3]

    async def test_a_statement_that_was_caught_spoils_the_transaction_and_is_told(
        self, make_engine: MakeEngine
    ):
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step(retry=Retry(attempts=1))
        async def work(number: int, tx: Transaction) -> int:
            await tx.execute("insert into bookings values ($1)", number)
            with contextlib.suppress(Exception):  # the mistake
                await tx.execute("select 1 / 0")
            return number

        async with bookings(make_engine([pipe])) as engine:
            job = await engine.submit(pipe, 7)
            await engine.run_until_empty()
            [tried] = await engine.tries(job)
            assert "transaction is aborted" in tried.message
            assert await count(engine) == 0

    async def test_a_deferred_constraint_fails_the_try_not_the_worker(
        self, make_engine: MakeEngine
    ):
        async with bookings(make_engine([booking])) as engine:
            async with engine.connection() as connection:
                await connection.execute(
                    "alter table bookings add constraint once unique (number)"
                    " deferrable initially deferred; insert into bookings values (7)"
                )
            job = await engine.submit(booking, 7)
            await engine.run_until_empty(skip_waits=True)
            assert (await engine.job(job)).cause == "attempts_exhausted"
            assert {tried.code for tried in await engine.tries(job)} == {"UniqueViolationError"}
            assert await engine.steps(job) == []


class TestFence:
    async def test_a_stale_holder_cannot_commit(self, make_engine: MakeEngine):
        written, go_on = asyncio.Event(), asyncio.Event()
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        async def work(number: int, tx: Transaction, ctx: StepContext) -> int:
            await tx.execute("insert into bookings values ($1)", number)
            if not written.is_set():
                written.set()
                await go_on.wait()
            assert ctx.attempt == 1
            return number

        async with bookings(make_engine([pipe])) as engine, engine.worker():
            job = await engine.submit(pipe, 7)
            await written.wait()
            async with engine.connection() as connection:  # as if another worker had claimed it
                await connection.execute(
                    "update headrace.jobs set token = nextval('headrace.tokens') where id = $1",
                    job.id,
                )
            go_on.set()
            await eventually(lambda: no_transaction_open(engine))
            assert await count(engine) == 0
            assert await engine.steps(job) == []
            assert (await engine.job(job)).state is JobState.RUNNING


async def no_transaction_open(engine: Engine) -> bool:
    async with engine.connection() as connection:
        return not await connection.fetchval(
            "select exists (select from pg_stat_activity where datname = current_database()"
            " and application_name = 'headrace steps' and xact_start is not null)"
        )


class TestBegin:
    async def test_it_begins_at_its_first_statement_not_at_the_call(self, make_engine: MakeEngine):
        open_before: list[bool] = []
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        async def work(number: int, tx: Transaction) -> int:
            open_before.append(not await no_transaction_open(engine))
            await tx.execute("insert into bookings values ($1)", number)
            open_before.append(not await no_transaction_open(engine))
            return number

        async with bookings(make_engine([pipe])) as engine:
            await engine.submit(pipe, 7)
            await engine.run_until_empty()
        assert open_before == [False, True]

    async def test_a_step_that_never_uses_it_is_like_any_other(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        async def work(number: int, tx: Transaction) -> int:  # noqa: ARG001
            return number

        async with bookings(make_engine([pipe])) as engine:
            job = await engine.submit(pipe, 7)
            await engine.run_until_empty()
            assert await job.result() == 7

    async def test_all_that_a_connection_reads_with_can_be_used(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=list[int])

        @pipe.step
        async def work(number: int, tx: Transaction) -> list[int]:
            await tx.executemany("insert into bookings values ($1)", [(number,), (number + 1,)])
            rows = await tx.fetch("select number from bookings order by number")
            first = await tx.fetchrow("select min(number) from bookings")
            assert first is not None
            return [*(row["number"] for row in rows), first[0], await tx.fetchval("select 5")]

        async with bookings(make_engine([pipe])) as engine:
            job = await engine.submit(pipe, 1)
            await engine.run_until_empty()
            assert await job.result() == [1, 2, 1, 5]


class TestLimit:
    @pytest.mark.parametrize("pause", ["select pg_sleep(5)", "idle", "select pg_sleep(0.05)"])
    async def test_it_ends_after_its_time_whatever_the_step_does(
        self, make_engine: MakeEngine, pause: str
    ):
        timing = replace(SCALED, transaction=timedelta(seconds=0.4))
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step(retry=Retry(attempts=1))
        async def work(number: int, tx: Transaction) -> int:
            await tx.execute("insert into bookings values ($1)", number)
            async with asyncio.timeout(20):
                if pause == "idle":
                    await asyncio.sleep(1)
                for _ in range(20):
                    await tx.execute(pause if pause != "idle" else "select 1")
            return number

        async with bookings(make_engine([pipe], timing=timing)) as engine:
            job = await engine.submit(pipe, 7)
            await engine.run_until_empty()
            row = await engine.job(job)
            assert (row.state, row.cause) == (JobState.FAILED, "attempts_exhausted")
            [tried] = await engine.tries(job)
            assert "transaction" in tried.message
            assert "0.4 s" in tried.message
            assert await count(engine) == 0
            await eventually(lambda: no_transaction_open(engine))


class TestPool:
    async def test_steps_that_hold_all_connections_do_not_stop_the_engine(
        self, make_engine: MakeEngine
    ):
        """The pool of the steps is used up: leases, claims and checkpoints go on."""
        holding, go_on = asyncio.Semaphore(0), asyncio.Event()
        pipe = Pipeline("pipe", input=int, output=int)
        plain = Pipeline("plain", input=int, output=int)

        @pipe.step
        async def hold(number: int, tx: Transaction) -> int:
            await tx.execute("insert into bookings values ($1)", number)
            holding.release()
            await go_on.wait()
            return number

        @plain.step
        async def work(number: int) -> int:
            return number

        timing = replace(SCALED, transaction=timedelta(seconds=30))
        made = make_engine([pipe, plain], timing=timing)
        async with bookings(made) as engine, engine.worker(concurrency=25) as worker:
            number = worker.number
            size = engine.app.settings.db_pool_max
            jobs = await engine.submit_many(pipe, range(size))
            for _ in range(size):
                await asyncio.wait_for(holding.acquire(), 10)
            others = await engine.submit_many(plain, range(3))
            assert [await job.result(timeout=5) for job in others] == [0, 1, 2]
            await asyncio.sleep(1.5 * SCALED.lease.total_seconds())
            assert worker.number == number, "the lease was kept"
            go_on.set()
            assert [await job.result(timeout=10) for job in jobs] == list(range(size))
