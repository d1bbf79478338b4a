"""Operations whose process dies, and operations in a transaction."""

import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from headrace import PermanentError, Pipeline, StepContext, SyncContext, Transaction
from headrace.testing import Engine
from tests.engine.conftest import MakeEngine
from tests.engine.dying import ALL, FOLDER, payments
from tests.engine.operating import AGAIN, Calls, rows, run
from tests.waiting import eventually

DYING = "tests.engine.dying:ALL"


async def book(tx: Transaction, number: int) -> int:
    await tx.execute("insert into bookings values ($1)", number)
    return number


async def book_and_fail(tx: Transaction, number: int) -> int:
    await tx.execute("insert into bookings values ($1)", number)
    raise PermanentError("no")


class TestTransactions:
    async def test_sql_and_outcome_are_committed_together_and_once(self, make_engine: MakeEngine):
        pipe = booking(book)
        async with make_engine([pipe]) as engine:
            await make_bookings(engine)
            assert await run(engine, pipe, "7") == await run(engine, pipe, "7") == "7"
            assert await count_bookings(engine) == 1
            [row] = await rows(engine)
        assert (row["state"], row["output"]) == ("completed", "7")

    async def test_a_failure_is_stored_without_the_sql(self, make_engine: MakeEngine):
        pipe = booking(book_and_fail)
        async with make_engine([pipe]) as engine:
            await make_bookings(engine)
            assert await run(engine, pipe, "7") == await run(engine, pipe, "7") == "failed: no"
            assert await count_bookings(engine) == 0
            [row] = await rows(engine)
        assert row["state"] == "failed"

    async def test_an_outcome_that_is_refused_rolls_the_sql_back(self, make_engine: MakeEngine):
        """Another one has taken the operation over while the transaction was open."""
        pipe = booking(book_late)
        async with make_engine([pipe]) as engine:
            await make_bookings(engine)
            assert await run(engine, pipe, "7") == "7"
            assert await count_bookings(engine) == 1
            [row] = await rows(engine)
        assert (row["state"], row["takeovers"]) == ("completed", 0)

    async def test_a_plain_step_has_none(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=str, output=str)

        @pipe.step
        def work(number: str, ctx: SyncContext) -> str:
            return f"{ctx.idempotent('a', book, int(number))}"

        async with make_engine([pipe]) as engine:
            assert "takes a Transaction, which needs an async step" in await run(engine, pipe, "7")


LATE = Calls()


async def book_late(tx: Transaction, number: int) -> int:
    await tx.execute("insert into bookings values ($1)", number)
    LATE.append("book")
    if len(LATE) == 1:
        await tx.execute("update headrace.operations set token = token + 1000")
    return number


def booking(fn: Callable[[Transaction, int], Awaitable[int]]) -> Pipeline[str, str]:
    pipe = Pipeline("booking", input=str, output=str)

    @pipe.step(retry=AGAIN)
    async def work(number: str, ctx: StepContext) -> str:
        return f"{await ctx.idempotent('order-42', fn, int(number))}"

    return pipe


async def make_bookings(engine: Engine) -> None:
    async with engine.connection() as connection:
        await connection.execute("create table bookings (number integer)")


async def count_bookings(engine: Engine) -> int:
    async with engine.connection() as connection:
        return int(await connection.fetchval("select count(*) from bookings"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the service of all processes keeps its ledger."""
    monkeypatch.setenv(FOLDER, str(tmp_path))
    return tmp_path


def ledger(folder: Path) -> list[str]:
    path = folder / "ledger"
    return path.read_text().splitlines() if path.exists() else []


class TestDeath:
    async def test_between_call_and_outcome_it_is_called_again_with_the_same_key(
        self, make_engine: MakeEngine, folder: Path
    ):
        async with make_engine(ALL) as engine:
            first = await engine.submit(payments, 500)
            await engine.crash_at("operation.before_outcome", app=DYING)
            [row] = await rows(engine)
            assert (row["state"], len(ledger(folder))) == ("pending", 1)
            second = await engine.submit(payments, 500)
            await engine.run_until_empty(20, skip_waits=True)
            assert await first.result() == await second.result() == "500 paid"
            [row] = await rows(engine)
        assert (row["state"], row["takeovers"]) == ("completed", 1)
        assert ledger(folder) == ["order-42 500"] * 2

    async def test_after_the_outcome_nobody_calls_it_again(
        self, make_engine: MakeEngine, folder: Path
    ):
        async with make_engine(ALL) as engine:
            job = await engine.submit(payments, 500)
            await engine.crash_at("operation.after_outcome", app=DYING)
            await engine.run_until_empty(20, skip_waits=True)
            assert await job.result() == "500 paid"
            [row] = await rows(engine)
        assert (row["state"], row["takeovers"]) == ("completed", 0)
        assert ledger(folder) == ["order-42 500"]

    async def test_a_frozen_worker_that_wakes_changes_nothing(
        self, make_engine: MakeEngine, folder: Path
    ):
        async with make_engine(ALL) as engine:
            job = await engine.submit(payments, 500)
            async with engine.spawn(DYING, failpoint="operation.before_outcome:1:stop") as frozen:
                await eventually(lambda: ledger(folder))
                await engine.run_until_empty(30, skip_waits=True)
                assert await job.result() == "500 paid"
                [row] = await rows(engine)
                frozen.send_signal(signal.SIGCONT)

                async def is_back() -> bool:
                    async with engine.connection() as connection:
                        newest = await connection.fetchval("select max(id) from headrace.workers")
                    return bool(newest > (frozen.number or 0) + 1)

                await eventually(is_back)  # it has learned that it was lost
                assert await rows(engine) == [row]
        assert (row["state"], row["takeovers"]) == ("completed", 1)
        assert ledger(folder) == ["order-42 500"] * 2


class TestProcesses:
    async def test_a_step_in_a_process_is_told_where_to_call_it(self, make_engine: MakeEngine):
        async with make_engine([apart]) as engine:
            assert "call it in an async step or a plain one" in await run(engine, apart, "a")


apart = Pipeline("apart", input=str, output=str)


def give(text: str) -> str:
    return text


@apart.step(runs_in="process")
def hand_over(text: str, ctx: SyncContext) -> str:
    return ctx.idempotent("a", give, text)
