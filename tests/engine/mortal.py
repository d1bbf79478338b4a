"""Pipelines for worker processes that are killed: nothing is imported that they do not need."""

import os
import time
from pathlib import Path
from typing import Any

from headrace import Each, Pipeline, Retry, StepContext

FOLDER = "HEADRACE_TEST_FOLDER"


def note(ctx: StepContext, name: str) -> None:
    """Write down an effect, with the key that an outside service would be given."""
    with (Path(os.environ[FOLDER]) / "effects").open("a") as file:
        file.write(f"{name} {ctx.idempotency_key}\n")


everything = Pipeline("everything", input=int, output=str)


@everything.step
async def begin(number: int, ctx: StepContext) -> list[int]:
    note(ctx, "begin")
    return list(range(number))


@everything.step(parallel=2)
async def item(ctx: StepContext, number: int = Each(begin)) -> int:
    note(ctx, f"item {number}")
    return number


async def pay(number: int) -> int:
    return number


@everything.step(retry=Retry(attempts=3, first=0.1))
async def paid(item: list[int], ctx: StepContext) -> int:
    note(ctx, "paid")
    total = await ctx.once("payment", pay, sum(item))
    if ctx.attempt == 1:
        raise RuntimeError
    return total


@everything.step
async def end(paid: int, ctx: StepContext) -> str:
    note(ctx, "end")
    return f"{paid}"


blocking = Pipeline("blocking", input=float, output=int)


@blocking.step
async def block(seconds: float, ctx: StepContext) -> int:
    note(ctx, "block")
    time.sleep(seconds)  # noqa: ASYNC251 - the mistake
    return ctx.attempt


ALL: list[Any] = [everything, blocking]
