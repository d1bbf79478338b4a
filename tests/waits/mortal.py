"""A pipeline that waits for a child and a signal, for worker processes that are killed."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from headrace import JobHandle, Pipeline, Signal, StepContext

FOLDER = "HEADRACE_TEST_FOLDER"

child = Pipeline("child", input=int, output=int)
parent = Pipeline("parent", input=int, output=str)


def note(name: str) -> None:
    """Write down that a step was called."""
    with (Path(os.environ[FOLDER]) / "calls").open("a") as file:
        file.write(f"{name}\n")


@child.step
async def double(number: int) -> int:
    note("double")
    return 2 * number


@parent.step
async def ask(number: int, ctx: StepContext) -> JobHandle[int]:
    note("ask")
    return await ctx.submit(child, number)


@parent.step
async def decide(ask: int, answer: str = Signal(timeout=timedelta(days=3))) -> str:
    note("decide")
    return f"{ask} {answer}"


ALL: list[Any] = [child, parent]
