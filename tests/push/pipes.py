"""The pipelines of these tests."""

from __future__ import annotations

import asyncio
from typing import Any

from headrace import JobHandle, PermanentError, Pipeline, Retry, Signal, StepContext


class Stone:
    """Holds steps while `free` is there and not set; counts what began."""

    def __init__(self) -> None:
        self.free: asyncio.Event | None = None
        self.begun: list[str] = []

    async def pass_by(self, name: str) -> None:
        self.begun.append(name)
        if self.free is not None:
            await self.free.wait()


stone = Stone()
grind = Pipeline("grind", input=int, output=int)


@grind.step
async def mill(sacks: int) -> int:
    await stone.pass_by("mill")
    if sacks < 0:
        raise PermanentError("no sack is negative")
    return sacks * 80


bake = Pipeline("bake", input=int, output=int)


@bake.step
async def flour(sacks: int, ctx: StepContext) -> JobHandle[int]:
    return await ctx.submit(grind, sacks)


@bake.step
async def loaves(flour: int, per_kilo: int = Signal(timeout=3_600)) -> int:
    return flour * per_kilo


walk = Pipeline("walk", input=int, output=int)
"""Each step fits into a slice of a second, and no two of them."""


@walk.step(timeout=1.0)
async def first(number: int) -> int:
    stone.begun.append("first")
    return number + 1


@walk.step(timeout=1.0)
async def second(first: int) -> int:
    stone.begun.append("second")
    return first + 1


@walk.step(timeout=1.0)
async def third(second: int) -> int:
    stone.begun.append("third")
    return second + 1


copy = Pipeline("copy", input=int, output=list[str])


async def fetch_page(number: int) -> str:
    stone.begun.append(f"page {number}")
    return f"page {number}"


@copy.step(timeout=60.0, resumable=True)
async def pages(count: int, context: StepContext) -> list[str]:
    found = []
    for number in range(count):
        found.append(await context.once(f"page-{number}", fetch_page, number))
        if number == 1 and stone.free is not None:
            await stone.free.wait()
    return found


slow = Pipeline("slow", input=int, output=int)


@slow.step(timeout=60.0)
async def think(number: int) -> int:
    stone.begun.append("think")
    return number


shaky = Pipeline("shaky", input=int, output=int)


@shaky.step(retry=Retry(attempts=2, first=30.0, jitter=0))
async def stumble(number: int) -> int:
    stone.begun.append(f"stumble over {number}")
    raise ConnectionError("the other side hung up")


PIPELINES: list[Pipeline[Any, Any]] = [grind, bake, walk, copy, slow, shaky]
