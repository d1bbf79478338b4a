"""Pipelines that pay, for worker processes that are killed or frozen between payment and record."""

import os
from pathlib import Path
from typing import Any

from headrace import Pipeline, StepContext

FOLDER = "HEADRACE_TEST_FOLDER"

payments = Pipeline("payments", input=int, output=str)


async def pay(amount: int, key: str) -> str:
    """What a service does: it keeps a ledger, and knows nothing of keys."""
    with (Path(os.environ[FOLDER]) / "ledger").open("a") as file:
        file.write(f"{key} {amount}\n")
    return f"{amount} paid"


@payments.step
async def work(amount: int, ctx: StepContext) -> str:
    return await ctx.idempotent("order-42", pay, amount, key="order-42")


ALL: list[Any] = [payments]
