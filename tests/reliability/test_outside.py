"""Operations that programs carry out outside of steps."""

from __future__ import annotations

from datetime import timedelta

import pytest

from headrace import PermanentError, Pipeline, StepContext, Transaction
from headrace.errors import DefinitionError, IdempotencyKeyReusedError, OptionError
from headrace.testing import Engine

CALLS: list[str] = []


@pytest.fixture(autouse=True)
def no_calls() -> None:
    CALLS.clear()


async def charge(cents: int) -> str:
    CALLS.append(f"charge {cents}")
    return f"{cents} charged"


def charge_plainly(cents: int) -> str:
    CALLS.append(f"charge {cents}")
    return f"{cents} charged"


async def refuse(cents: int) -> str:
    CALLS.append(f"refuse {cents}")
    raise PermanentError(f"no {cents}")


async def fill(cents: int) -> str:
    CALLS.append(f"fill {cents}")
    return "x" * (2 << 20)


async def book(tx: Transaction, cents: int) -> None:
    await tx.execute("select $1", cents)


payments = Pipeline("payments", input=int, output=str)


@payments.step
async def work(cents: int, ctx: StepContext) -> str:
    return await ctx.idempotent("order-42", charge, cents)


class TestOutside:
    async def test_a_program_and_a_job_share_an_operation(self, database_server: str):
        async with Engine([payments], server=database_server) as engine:
            job = await engine.submit(payments, 500)
            await engine.run_until_empty()
            outside = await engine.app.idempotent("order-42", charge, 500)
            assert outside == await job.result() == "500 charged"
            with pytest.raises(IdempotencyKeyReusedError):
                await engine.app.idempotent("order-42", charge, 600)
        assert CALLS == ["charge 500"]

    async def test_tenants_are_apart_and_plain_functions_run_too(self, database_server: str):
        async with Engine([payments], server=database_server) as engine:
            acme = engine.app.idempotent.with_options(tenant="acme", keep=timedelta(minutes=1))
            for _ in range(2):
                assert await acme("a", charge_plainly, 1) == "1 charged"
            assert await engine.app.idempotent("a", charge_plainly, 1) == "1 charged"
        assert CALLS == ["charge 1"] * 2

    async def test_permanent_failures_and_large_outputs_are_not_tried_again(
        self, database_server: str
    ):
        async with Engine([payments], server=database_server) as engine:
            for _ in range(2):
                with pytest.raises(PermanentError, match="no 1"):
                    await engine.app.idempotent("a", refuse, 1)
            with pytest.raises(Exception, match="at most 1,048,576 can be stored"):
                await engine.app.idempotent("b", fill, 1)
            with pytest.raises(PermanentError, match="it was done, but"):
                await engine.app.idempotent("b", fill, 1)
        assert CALLS == ["refuse 1", "fill 1"]

    async def test_it_works_again_after_the_app_was_closed(self, database_server: str):
        async with Engine([payments], server=database_server) as engine:
            await engine.app.idempotent("a", charge, 1)
            await engine.app.close()
            await engine.app.idempotent("a", charge, 1)
        assert CALLS == ["charge 1"]

    async def test_what_is_out_of_range_is_said(self, database_server: str):
        async with Engine([payments], server=database_server) as engine:
            once = engine.app.idempotent
            with pytest.raises(OptionError, match="keep: 0 is out of range"):
                once.with_options(keep=0)
            with pytest.raises(OptionError, match="wait: "):
                once.with_options(wait=timedelta(hours=2))
            with pytest.raises(OptionError, match="tenant"):
                once.with_options(tenant="a\nb")
            with pytest.raises(DefinitionError, match="which only steps have"):
                await once("a", book, 1)
        assert CALLS == []
