"""Operations that a tenant does once, whichever job asks for them."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from headrace import (
    PermanentError,
    Pipeline,
    Retry,
    StepContext,
    SyncContext,
    UserError,
)
from headrace.errors import JobFailedError
from headrace.store.retention import unreferenced_artifacts
from headrace.testing import Engine
from tests.engine.conftest import MakeEngine
from tests.engine.operating import AGAIN, Calls, outcome_of, rows, run
from tests.waiting import eventually


@dataclass
class Receipt:
    """What a service answers."""

    text: str


class Bank:
    """A service: what it answers to each payment, in order, the last one for ever."""

    def __init__(self, *answers: Exception | str) -> None:
        self.calls, self._answers = Calls(), list(answers)

    async def pay(self, amount: int) -> Receipt:
        self.calls.append(f"pay {amount}")
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return Receipt(answer)

    async def refund(self, amount: int) -> Receipt:
        self.calls.append(f"refund {amount}")
        return Receipt("refunded")


def paying(pay: Callable[..., Any], keep: timedelta | None = None) -> Pipeline[str, str]:
    """A pipeline whose jobs, of input `KEY AMOUNT`, pay an amount under a key."""
    pipe = Pipeline("paying", input=str, output=str)

    @pipe.step(retry=AGAIN)
    async def work(order: str, ctx: StepContext) -> str:
        key, amount = order.split()
        once = ctx.idempotent if keep is None else ctx.idempotent.with_options(keep=keep)
        receipt: Receipt = await once(key, pay, int(amount))
        return receipt.text

    return pipe


def is_awaited(engine: Engine) -> Callable[[], Awaitable[bool]]:
    """Whether somebody waits for an outcome."""

    async def look() -> bool:
        return any(row["awaited"] for row in await rows(engine))

    return look


class TestOutput:
    async def test_two_jobs_one_after_the_other_call_once_and_share_it(
        self, make_engine: MakeEngine
    ):
        bank = Bank("paid")
        pipe = paying(bank.pay)
        async with make_engine([pipe]) as engine:
            first = await engine.submit(pipe, "order-42 500")
            await engine.run_until_empty()
            assert await run(engine, pipe, "order-42 500") == await first.result() == "paid"
            [row] = await rows(engine)
        assert bank.calls == ["pay 500"]
        assert (row["operation"], row["state"], row["takeovers"]) == ("Bank.pay", "completed", 0)
        assert (str(row["job"]), row["step"]) == (first.id, "work")

    async def test_jobs_at_once_call_once_and_share_it(self, make_engine: MakeEngine):
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

    async def test_another_key_and_another_tenant_are_other_operations(
        self, make_engine: MakeEngine
    ):
        bank = Bank("first", "second", "third")
        pipe = paying(bank.pay)
        async with make_engine([pipe]) as engine:
            assert await run(engine, pipe, "a 1") == "first"
            assert await run(engine, pipe, "b 1") == "second"
            assert await run(engine, pipe, "a 1", tenant="other") == "third"
            assert await run(engine, pipe, "a 1", owner="other") == "first"

    async def test_it_answers_for_a_day(self, make_engine: MakeEngine):
        bank = Bank("first", "second")
        pipe = paying(bank.pay)
        async with make_engine([pipe]) as engine:
            await run(engine, pipe, "a 1")
            await engine.move_clock(timedelta(hours=23))
            assert await run(engine, pipe, "a 1") == "first"
            await engine.move_clock(timedelta(hours=1))
            assert await run(engine, pipe, "a 1") == "second"

    async def test_it_answers_as_long_as_is_asked(self, make_engine: MakeEngine):
        bank = Bank("first", "second")
        pipe = paying(bank.pay, keep=timedelta(minutes=10))
        async with make_engine([pipe]) as engine:
            await run(engine, pipe, "a 1")
            await engine.move_clock(timedelta(minutes=9))
            assert await run(engine, pipe, "a 1") == "first"
            await engine.move_clock(timedelta(minutes=1))
            assert await run(engine, pipe, "a 1") == "second"

    async def test_a_plain_step_shares_it_too(self, make_engine: MakeEngine):
        calls = Calls()
        pipe = Pipeline("pipe", input=int, output=int)

        def pay(amount: int) -> int:
            calls.append("pay")
            return amount

        @pipe.step
        def work(number: int, ctx: SyncContext) -> int:
            return ctx.idempotent("order-42", pay, 5) + number

        async with make_engine([pipe]) as engine:
            jobs = [await engine.submit(pipe, 10)]
            await engine.run_until_empty()
            jobs.append(await engine.submit(pipe, 20))
            await engine.run_until_empty()
            assert [await job.result() for job in jobs] == [15, 25]
        assert calls == ["pay"]

    async def test_one_that_is_too_large_for_a_row_is_kept_aside(self, make_engine: MakeEngine):
        bank = Bank("x" * (2 << 20))
        pipe = paying(bank.pay)
        async with make_engine([pipe]) as engine:
            first, second = await run(engine, pipe, "a 1"), await run(engine, pipe, "a 1")
            [row] = await rows(engine)
            async with engine.connection() as connection:
                assert await unreferenced_artifacts(connection, age=timedelta(0)) == []
        assert first == second == "x" * (2 << 20)
        assert (row["output"], len(bank.calls)) == (None, 1)


class TestKeys:
    async def test_a_key_with_another_input_is_refused(self, make_engine: MakeEngine):
        bank = Bank("paid")
        pipe = paying(bank.pay)
        async with make_engine([pipe]) as engine:
            await run(engine, pipe, "order-42 500")
            job = await engine.submit(pipe, "order-42 600")
            await engine.run_until_empty()
            assert await outcome_of(job) == (
                "failed: idempotency key 'order-42' was used with another input"
            )
            assert len(await engine.tries(job)) == 1
        assert bank.calls == ["pay 500"]

    async def test_a_key_with_another_function_is_refused(self, make_engine: MakeEngine):
        bank = Bank("paid")
        pipe, refunds = paying(bank.pay), paying(bank.refund)
        async with make_engine([pipe]) as engine:
            await run(engine, pipe, "order-42 500")
            async with engine.app_with([refunds]) as app, engine.worker(app=app):
                job = await app.submit(refunds, "order-42 500")
                with pytest.raises(JobFailedError, match=r"operation .Bank\.pay."):
                    await job.result(timeout=10)
        assert bank.calls == ["pay 500"]

    @pytest.mark.parametrize("key", ["", "x" * 256, "a\nb"])
    async def test_one_that_cannot_be_stored_fails_the_job_at_once(
        self, make_engine: MakeEngine, key: str
    ):
        bank = Bank("paid")
        pipe = Pipeline("pipe", input=str, output=str)

        @pipe.step(retry=AGAIN)
        async def work(name: str, ctx: StepContext) -> str:
            return (await ctx.idempotent(name, bank.pay, 1)).text

        async with make_engine([pipe]) as engine:
            assert "1 to 255 characters" in await run(engine, pipe, key)
        assert bank.calls == []


class TestFailures:
    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (PermanentError("no such account"), "PERMANENT_ERROR"),
            (UserError("no such account"), "USER_ERROR"),
            (LookupError("no such account"), "LookupError"),
        ],
        ids=["permanent", "user", "unless"],
    )
    async def test_a_permanent_one_is_raised_again_for_an_hour(
        self, make_engine: MakeEngine, error: Exception, code: str
    ):
        bank = Bank(error, "paid")
        pipe = paying(bank.pay)
        async with make_engine([pipe]) as engine:
            for _ in range(2):
                assert await run(engine, pipe, "a 1") == "failed: no such account"
            assert len(bank.calls) == 1
            [row] = await rows(engine)
            assert (row["state"], f'"{code}"' in row["error"]) == ("failed", True)
            await engine.move_clock(timedelta(hours=1))
            assert await run(engine, pipe, "a 1") == "paid"

    async def test_a_users_one_stays_one(self, make_engine: MakeEngine):
        bank = Bank(UserError("too much"))
        pipe = paying(bank.pay)
        async with make_engine([pipe]) as engine:
            for _ in range(2):
                await run(engine, pipe, "a 1")
                [*_, job] = await engine.jobs()
                assert (job.error or {})["code"] == "USER_ERROR"

    async def test_a_passing_one_leaves_the_key_to_the_next_try(self, make_engine: MakeEngine):
        bank = Bank(ConnectionError("cut"), "paid")
        pipe = paying(bank.pay)
        async with make_engine([pipe]) as engine:
            assert await run(engine, pipe, "a 1") == "paid"
            [row] = await rows(engine)
        assert (row["state"], row["takeovers"], len(bank.calls)) == ("completed", 0, 2)

    async def test_after_a_passing_one_the_next_job_may_pay_something_else(
        self, make_engine: MakeEngine
    ):
        bank = Bank(*[ConnectionError("cut")] * 3, "paid")
        pipe = paying(bank.pay)
        async with make_engine([pipe]) as engine:
            assert await run(engine, pipe, "a 1") == "failed: cut"
            assert await rows(engine) == []
            assert await run(engine, pipe, "a 2") == "paid"

    async def test_an_output_that_cannot_be_stored_is_not_made_again(self, make_engine: MakeEngine):
        calls = Calls()
        pipe = Pipeline("pipe", input=str, output=str)

        async def pay(amount: int) -> float:
            calls.append(f"pay {amount}")
            return float("nan")

        @pipe.step(retry=AGAIN)
        async def work(_name: str, ctx: StepContext) -> str:
            return f"{await ctx.idempotent('a', pay, 1)}"

        async with make_engine([pipe]) as engine:
            assert "cannot be stored as float" in await run(engine, pipe, "")
            assert "it was done, but cannot be stored" in await run(engine, pipe, "")
        assert calls == ["pay 1"]

    async def test_a_step_that_is_stopped_leaves_the_key_to_the_next_try(
        self, make_engine: MakeEngine
    ):
        calls = Calls()
        pipe = Pipeline("pipe", input=str, output=str)

        async def pay(amount: int) -> str:
            calls.append(f"pay {amount}")
            if len(calls) == 1:
                await asyncio.sleep(60)
            return "paid"

        @pipe.step(timeout=0.6)
        async def work(_name: str, ctx: StepContext) -> str:
            return await ctx.idempotent("a", pay, 1)

        async with make_engine([pipe]) as engine:
            assert await run(engine, pipe, "") == "paid"
            [row] = await rows(engine)
        assert (row["takeovers"], len(calls)) == (0, 2)


class TestInProgress:
    async def test_a_job_that_would_have_to_wait_is_put_off_without_an_attempt(
        self, make_engine: MakeEngine
    ):
        calls, go_on = Calls(), asyncio.Event()
        pipe = Pipeline("pipe", input=str, output=str)

        async def pay(amount: int) -> str:
            calls.append(f"pay {amount}")
            await go_on.wait()
            return "paid"

        @pipe.step(retry=Retry(attempts=1))
        async def work(_name: str, ctx: StepContext) -> str:
            return await ctx.idempotent("order-42", pay, 1)

        async with make_engine([pipe]) as engine, engine.worker():
            first = await engine.submit(pipe, "first")
            await eventually(lambda: calls)
            second = await engine.submit(pipe, "second")

            async def is_put_off() -> bool:
                return bool(await engine.tries(second))

            await eventually(is_put_off)
            [row, *_] = await engine.tries(second)
            assert (row.kind, row.code) == ("lock_busy", "OPERATION_IN_PROGRESS")
            assert f"by job {first.id} in worker" in row.message
            go_on.set()
            assert await second.result(timeout=20) == await first.result(timeout=20) == "paid"
        assert calls == ["pay 1"]


class TestNesting:
    async def test_an_operation_may_call_another_one_but_not_itself(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=str, output=str)

        @pipe.step
        async def work(key: str, ctx: StepContext) -> str:
            async def inner(text: str) -> str:
                return text

            async def outer(text: str) -> str:
                return await ctx.idempotent(key, inner, text)

            return await ctx.idempotent("outer", outer, "done")

        async with make_engine([pipe]) as engine:
            assert await run(engine, pipe, "inner") == "done"
            assert "would wait for itself" in await run(engine, pipe, "outer", tenant="other")

    async def test_two_calls_at_once_in_one_step_are_no_nesting(self, make_engine: MakeEngine):
        bank = Bank("first", "second")
        pipe = Pipeline("pipe", input=str, output=str)

        @pipe.step
        async def work(key: str, ctx: StepContext) -> str:
            patient = ctx.idempotent.with_options(wait=20)
            both = await asyncio.gather(*(patient(key, bank.pay, 1) for _ in range(2)))
            return " ".join(receipt.text for receipt in both)

        async with make_engine([pipe]) as engine:
            assert await run(engine, pipe, "a") == "first first"
