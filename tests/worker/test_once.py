"""What `once` promises while the ledger is slow: the test decides when it commits."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, Final

import pytest

from headrace import Each, Pipeline, Retry, StepContext
from headrace.store.entries import Committed, Entry
from headrace.worker.engine import Limits
from headrace.worker.executor import Executor
from headrace.worker.run import JobRun
from headrace.worker.settling import Policy
from headrace.worker.timing import Timing
from tests.waiting import eventually
from tests.worker.process_bench import claim_of

paying = Pipeline("paying", input=int, output=str)
said: list[str] = []


async def pay(name: str) -> str:
    said.append(f"{name} is paid")
    return f"receipt {said.count(f'{name} is paid')} of {name}"


@paying.step(parallel=2, retry=Retry(attempts=3, first=0.1))
async def buy(amount: int, ctx: StepContext, name: str = Each(["a", "b"])) -> str:  # noqa: ARG001
    receipt = await ctx.once("paid", pay, name)
    said.append(f"{name} has {receipt}")
    return receipt


@paying.step
async def sum_up(buy: list[str]) -> str:
    return ", ".join(buy)


class Slow:
    """A ledger that keeps what it is given until the test commits it."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def write(self, entry: Entry) -> None:
        self.entries.append(entry)


class Table:
    """An executor that holds one job."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        engine: Any = SimpleNamespace(
            loop=asyncio.get_running_loop(), worker=1, processes=None, threads=threads,
            timing=Timing(),
            limits=Limits(fan_out_most=100),
        )  # fmt: skip
        self.ledger = Slow()
        slow: Any = self.ledger
        policy = Policy(60.0, 60.0, lambda: 0.0)
        self.executor = Executor(engine, slow, policy, on_room=lambda: None)
        engine.store_record = self.executor.store_record
        self.run: JobRun

    async def begin(self) -> None:
        """Claim the job and store its plan."""
        amount: Any = 7
        claim = claim_of(paying, amount)
        self.run = self.executor.begin(claim)
        self.executor.advance(self.run)
        await self.commit()

    async def commit(self) -> Entry:
        """Store what the ledger was given next."""
        await eventually(lambda: self.ledger.entries)
        entry = self.ledger.entries.pop(0)
        self.executor.settled(entry, Committed(None))
        return entry

    async def settle_down(self) -> None:
        """Let everything run that can."""
        for _ in range(20):
            await asyncio.sleep(0)


THREADS: Final = 2


@pytest.fixture
async def table():
    said.clear()
    with ThreadPoolExecutor(THREADS) as threads:
        table = Table(threads)
        await table.begin()
        yield table
        for attempt in list(table.run.running.values()):
            attempt.cancel("stale", 0.0)
        table.run.dead = True
        await table.settle_down()


class TestSlowLedger:
    async def test_once_returns_after_its_own_commit_and_no_other(self, table: Table) -> None:
        await eventually(lambda: len(said) == 2)  # one record is sent, the other one gathers
        assert len((await table.commit()).records) == 1
        await table.settle_down()
        assert said[2:] == ["a has receipt 1 of a"]
        assert len((await table.commit()).records) == 1
        await eventually(lambda: said[3:] == ["b has receipt 1 of b"])

    async def test_a_step_that_is_cut_off_while_its_record_is_sent_finds_it_again(
        self, table: Table
    ) -> None:
        await eventually(lambda: len(said) == 2)
        table.executor.cancel_all(table.run, "unreachable")
        await table.settle_down()
        assert table.run.running, "the items have started again"
        assert said == ["a is paid", "b is paid"]
        while len(said) < 4:
            await table.commit()
            await table.settle_down()
        assert sorted(said[2:]) == ["a has receipt 1 of a", "b has receipt 1 of b"]

    async def test_a_record_that_is_stored_after_its_step_was_cut_off_is_kept(
        self, table: Table
    ) -> None:
        await eventually(lambda: len(said) == 2)
        table.executor.halt("unreachable")
        table.executor.cancel_all(table.run, "unreachable")
        await table.settle_down()
        while table.ledger.entries:
            await table.commit()
            await table.settle_down()
        table.executor.resume()
        await eventually(lambda: len(said) == 4)
        assert said.count("a is paid") == said.count("b is paid") == 1
