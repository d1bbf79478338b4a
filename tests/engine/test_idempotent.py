"""Operations that a tenant does once, whichever job asks for them."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg

from headrace import (
    Pipeline,
    Retry,
    StepContext,
)
from headrace.testing import Engine
from tests.engine.conftest import MakeEngine
from tests.waiting import eventually

AGAIN = Retry(attempts=3, first=5, jitter=0)


class Calls(list[str]):
    """What was really called."""


@dataclass
class Receipt:
    """What a service answers."""

    text: str


def paying(pay: Callable[..., Any], retry: Retry = AGAIN) -> Pipeline[str, str]:
    """A pipeline whose jobs, of input `KEY AMOUNT`, pay an amount under a key."""
    pipe = Pipeline("paying", input=str, output=str)

    @pipe.step(retry=retry)
    async def work(order: str, ctx: StepContext) -> str:
        key, amount = order.split()
        receipt: Receipt = await ctx.idempotent(key, pay, int(amount))
        return receipt.text

    return pipe


async def rows(engine: Engine) -> list[asyncpg.Record]:
    """What is known of all keys."""
    async with engine.connection() as connection:
        return await connection.fetch("select * from headrace.operations order by tenant, key")


def is_awaited(engine: Engine) -> Callable[[], Awaitable[bool]]:
    """Whether somebody waits for an outcome."""

    async def look() -> bool:
        return any(row["awaited"] for row in await rows(engine))

    return look


def returning(calls: Calls) -> Callable[[int], Awaitable[Receipt]]:
    async def pay(amount: int) -> Receipt:
        calls.append(f"pay {amount}")
        return Receipt(f"{amount} paid, receipt {len(calls)}")

    return pay


class TestOutcome:
    async def test_two_jobs_one_after_the_other_call_once_and_share_it(
        self, make_engine: MakeEngine
    ):
        calls = Calls()
        pipe = paying(returning(calls))
        async with make_engine([pipe]) as engine:
            first = await engine.submit(pipe, "order-42 500")
            await engine.run_until_empty()
            second = await engine.submit(pipe, "order-42 500")
            await engine.run_until_empty()
            assert await first.result() == await second.result() == "500 paid, receipt 1"
            [row] = await rows(engine)
        assert calls == ["pay 500"]
        assert (row["operation"], row["state"], row["takeovers"]) == ("pay", "completed", 0)
        assert (str(row["job"]), row["step"]) == (first.id, "work")

    async def test_two_jobs_at_once_call_once_and_share_it(self, make_engine: MakeEngine):
        calls, go_on = Calls(), asyncio.Event()
        pipe = Pipeline("pipe", input=int, output=int)

        async def pay(amount: int) -> int:
            calls.append("pay")
            await go_on.wait()
            return amount + len(calls)

        @pipe.step
        async def work(_number: int, ctx: StepContext) -> int:
            wait = timedelta(seconds=30)
            return await ctx.idempotent.with_options(wait=wait)("order-42", pay, 5)

        async with make_engine([pipe]) as engine, engine.worker():
            jobs = await engine.submit_many(pipe, [1, 2, 3])
            await eventually(is_awaited(engine))
            go_on.set()
            assert [await job.result(timeout=20) for job in jobs] == [6, 6, 6]
        assert calls == ["pay"]
