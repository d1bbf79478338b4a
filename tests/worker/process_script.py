"""A program that defines its pipeline itself: `python process_script.py` prints what came of it."""

from __future__ import annotations

import asyncio
import os

from headrace import Pipeline
from tests.worker.process_app import Order
from tests.worker.process_bench import open_bench

script = Pipeline("script", input=Order, output=int)


@script.step(runs_in="process")
def parent(order: Order) -> int:
    return os.getppid() if order.amount else 0


async def main() -> None:
    """Run one attempt."""
    async with open_bench(pipelines=[script]) as bench:
        print(await bench.outcome("parent", Order(amount=1)))  # noqa: T201 - for the test


if __name__ == "__main__":
    asyncio.run(main())
