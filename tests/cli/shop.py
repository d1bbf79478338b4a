"""The pipelines that the commands of these tests work on."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from headrace import Each, Headrace, PermanentError, Pipeline, Retry, StepContext


@dataclass
class Order:
    item: str
    count: int = 1


@dataclass
class Receipt:
    text: str
    parts: list[str]


orders = Pipeline("orders", version="1.2.0", input=Order, output=Receipt)


@orders.step
async def price(order: Order) -> int:
    return 5 * order.count


@orders.step
async def pack(price: int, part: str = Each(("box", "label"))) -> str:
    return f"{part} for {price}"


@orders.step
async def bill(order: Order, pack: list[str], ctx: StepContext) -> Receipt:
    ctx.log.info("billing", item=order.item)
    return Receipt(order.item, pack)


failing = Pipeline("failing", input=str, output=str, retry=Retry(attempts=1))


@failing.step
async def prepare(text: str) -> str:
    return text.upper()


@failing.step
async def refuse(prepare: str, ctx: StepContext) -> str:
    if ctx.run == 1:
        raise PermanentError(f"{prepare} is refused")
    return prepare


waiting = Pipeline("waiting", input=str, output=str, queue="slow")


@waiting.step
async def wait_for_file(path: str) -> str:
    """Wait until the file at `path` exists."""
    while not await asyncio.to_thread(Path(path).exists):  # noqa: ASYNC110 - another process makes it
        await asyncio.sleep(0.02)
    return path


app = Headrace(pipelines=[orders, failing, waiting])
