"""The pipeline of `operations.py`: many jobs ask for the same payments."""

import asyncio
import os
import uuid
from pathlib import Path

from headrace import Pipeline, Retry, StepContext

LEDGER = "HEADRACE_TEST_LEDGER"

payments = Pipeline("payments", input=int, output=str)


def note(receipt: str) -> None:
    with Path(os.environ[LEDGER]).open("a", encoding="utf-8") as file:
        file.write(f"{receipt}\n")


async def pay(order: int, key: str) -> str:
    """A service: it keeps a ledger, and answers each call with a receipt of its own."""
    receipt = f"{key} {uuid.uuid4()}"
    note(receipt)
    await asyncio.sleep(0.05 * (order % 10))
    return receipt


@payments.step(retry=Retry(attempts=10, first=0.1))
async def charge(order: int, ctx: StepContext) -> str:
    key = f"order-{order}"
    return await ctx.idempotent.with_options(wait=order % 3)(key, pay, order, key)
