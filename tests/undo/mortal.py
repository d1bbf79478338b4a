"""A pipeline for worker processes that are killed while they undo."""

import os
from pathlib import Path

from headrace import Each, Pipeline, Retry, StepContext

FOLDER = "HEADRACE_TEST_FOLDER"

mortal = Pipeline("mortal", input=int, output=str)


def note(ctx: StepContext, name: str) -> None:
    """Write down an effect, with the key that an outside service would be given."""
    with (Path(os.environ[FOLDER]) / "effects").open("a") as file:
        file.write(f"{name} {ctx.idempotency_key}\n")


async def undo_first(first: int, ctx: StepContext) -> None:
    note(ctx, f"first={first}")


async def undo_item(item: int, number: int, ctx: StepContext) -> None:
    note(ctx, f"item={item}/{number}")


async def undo_third(third: int, ctx: StepContext) -> None:
    note(ctx, f"third={third}")


@mortal.step(undo=undo_first)
async def first(start: int) -> int:
    return start


@mortal.step(undo=undo_item, parallel=1)
async def item(first: int, number: int = Each([1, 2])) -> int:
    return first + number


@mortal.step(undo=undo_third)
async def third(item: list[int]) -> int:
    return sum(item)


@mortal.step(retry=Retry(attempts=1))
async def fail(third: int) -> str:
    raise RuntimeError(f"{third}")


ALL = [mortal]
