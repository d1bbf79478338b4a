"""Pipelines for worker processes that die: this module imports nothing that they do not need."""

import asyncio
import os
from pathlib import Path
from typing import Any

from headrace import Each, Pipeline, StepContext

POISON = 13
FOLDER = "HEADRACE_TEST_FOLDER"


def note(name: str) -> None:
    """Write down that something ran, so that the test sees it across processes and deaths."""
    with (Path(os.environ[FOLDER]) / name).open("a") as file:
        file.write("x")


poison = Pipeline("poison", input=int, output=int)


@poison.step
async def before(number: int) -> int:
    note(f"before {number}")
    return number


@poison.step
async def kill(before: int) -> int:
    note(f"kill {before}")
    if before == POISON:
        os._exit(1)
    await asyncio.sleep(0.3)
    return before


poisoned_item = Pipeline("poisoned_item", input=int, output=list[int])


@poisoned_item.step(parallel=4)
async def work(number: int, item: int = Each((1, 2, 3, 4), key=str)) -> int:
    note(f"item {item}")
    await asyncio.sleep(0.02 * item)
    if item == number:
        os._exit(1)
    return item


poisoned_plan = Pipeline("poisoned_plan", input=int, output=list[int])


@poisoned_plan.step
async def numbers(number: int) -> list[int]:
    return [number]


def deadly_key(item: int) -> str:
    note(f"key {item}")
    os._exit(1)


@poisoned_plan.step
async def each(item: int = Each(numbers, key=deadly_key)) -> int:
    return item


@poisoned_plan.step
async def gather(each: list[int]) -> list[int]:
    return each


slow = Pipeline("slow", input=int, output=int)


@slow.step
async def first(number: int) -> int:
    note(f"first {number}")
    return number


@slow.step
async def second(first: int, ctx: StepContext) -> int:
    note(f"second {first}")
    while not (Path(os.environ[FOLDER]) / "go on").exists():  # noqa: ASYNC110 - another process's
        await asyncio.sleep(0.01)
    await ctx.once("late", late, first)
    return first


async def late(number: int) -> int:
    note(f"late {number}")
    return number


ALL: list[Any] = [poison, poisoned_item, poisoned_plan, slow]
