"""A pipeline that waits for all there is to wait for, and what it waits for."""

from dataclasses import dataclass
from datetime import timedelta

from headrace import Each, Headrace, JobHandle, Pipeline, Signal, StepContext


@dataclass(frozen=True, slots=True)
class Approval:
    ok: bool
    note: str = ""


shipping = Pipeline("shipping", input=str, output=str)


@shipping.step
async def pick(item: str, shelf: int = Signal(timeout=timedelta(days=1))) -> str:
    return f"{item} of shelf {shelf}"


order = Pipeline("order", version="2.0.0", input=str, output=str)


@order.step
async def price(item: str) -> int:
    return len(item)


@order.step
async def approve(price: int, approval: Approval = Signal(timeout=timedelta(days=3))) -> str:
    return f"{price} {approval.ok} {approval.note}"


@order.step
async def ship(item: str, approve: str, ctx: StepContext) -> JobHandle[str]:
    return await ctx.submit(shipping, f"{item} {approve}")


@order.step(delay=timedelta(hours=1))
async def ask_how_it_was(ship: str) -> str:
    return f"how was {ship}?"


parcels = Pipeline("parcels", input=int, output=list[str])


@parcels.step
async def split(count: int) -> list[str]:
    return [f"part {number}" for number in range(count)]


@parcels.step
async def send_each(ctx: StepContext, part: str = Each(split)) -> JobHandle[str]:
    return await ctx.submit(shipping, part)


PIPELINES = [order, shipping, parcels]


def __getattr__(name: str) -> Headrace:
    """A new `app` each time: one keeps the database that it has seen first."""
    if name != "app":
        raise AttributeError(name)
    return Headrace(pipelines=PIPELINES)
