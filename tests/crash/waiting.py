"""What the worker of the waits run carries: jobs that wait for others, and jobs that do not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from headrace import JobHandle, Pipeline, Signal, StepContext

asking = Pipeline("asking", input=int, output=int, queue="asking")
plain = Pipeline("plain", input=int, output=int, queue="plain")
child = Pipeline("child", input=int, output=int, queue="asking")
parent = Pipeline("parent", input=int, output=int, queue="asking")


@asking.step
async def decide(number: int, answer: int = Signal(timeout=timedelta(days=3))) -> int:
    """Wait for a person."""
    return number + answer


@plain.step
async def count(number: int) -> int:
    """Do something."""
    return number + 1


@child.step
async def double(number: int) -> int:
    """What the parent waits for."""
    return 2 * number


@parent.step
async def ask(number: int, ctx: StepContext) -> JobHandle[int]:
    """Let another job do it."""
    return await ctx.submit(child, number)


@parent.step
async def add(ask: int) -> int:
    """Go on with what it made."""
    return ask + 1


ALL: list[Any] = [asking, plain, child, parent]
