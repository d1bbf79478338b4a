"""The pipelines that the crash run feeds; every step writes down what it does."""

# ruff: noqa: ARG001 - a step takes the job's input to be a first step, not to use it

from __future__ import annotations

import asyncio
import os
import random
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from headrace import (
    Each,
    ItemResult,
    PermanentError,
    Pipeline,
    Retry,
    StepContext,
    SyncContext,
    Transaction,
)
from headrace.errors import LockLostError
from tests.proof.effects import Effect, EffectLedger, Kind, Mark
from tests.proof.guard import Guard
from tests.proof.results import FAILED

EFFECTS: Final = "HEADRACE_CRASH_EFFECTS"
SCALE: Final = "HEADRACE_CRASH_SCALE"
VERSION: Final = "HEADRACE_CRASH_VERSION"
OLD, NEW = "1.0.0", "1.1.0"
RESOURCES: Final = 3
ITEMS: Final = ("north", "east", "south", "west")

# Whoever only submits jobs names no file, and writes nothing.
ledger: Final = EffectLedger(Path(os.environ.get(EFFECTS, os.devnull)))
guard: Final = Guard(Path(os.environ.get(EFFECTS, os.devnull)).parent / "guarded")
scale: Final = float(os.environ.get(SCALE, "1"))


@dataclass(frozen=True)
class Order:
    """What is submitted.

    Attributes:
        number: Its place in the load; decides what its steps do.
        work: Seconds that a slow step takes.
        poison: A step of it ends its worker's process, each time.
    """

    number: int
    work: float = 0.0
    poison: bool = False


@dataclass(frozen=True)
class Done:
    """What each step returns; the mark tells this execution from all others."""

    mark: str


class Running:
    """One execution of a step, in the effect ledger."""

    def __init__(self, ctx: StepContext | SyncContext, step: str, name: str) -> None:
        attempt: Any = ctx._attempt  # type: ignore[union-attr]
        self._fields: dict[str, Any] = {
            "job": str(ctx.job_id), "run": ctx.run, "step": f"{step}#{name}" if name else step,
            "item": ctx.item or "", "attempt": ctx.attempt, "token": attempt.run.claim.token,
        }  # fmt: skip

    def write(self, kind: Kind, *, mark: str | None = None, saw: Mapping[str, Mark]) -> None:
        """Append a line."""
        ledger.write(Effect(kind=kind, mark=mark, saw=saw, **self._fields))

    def done(self, **got: Any) -> Done:
        """The step has done its work, with these signals."""
        mark = uuid.uuid4().hex[:12]
        heard = {name: value and asdict(value) for name, value in got.items()}
        ledger.write(Effect(kind="end", mark=mark, got=heard, **self._fields))
        return Done(mark)


@contextmanager
def running(
    ctx: StepContext | SyncContext, step: str, name: str = "", **saw: Done | list[Done]
) -> Iterator[Running]:
    """Write a line now, and another one if the step does not come to its end."""
    execution = Running(ctx, step, name)
    marks = {
        step: [done.mark for done in seen] if isinstance(seen, list) else seen.mark
        for step, seen in saw.items()
    }
    execution.write("start", saw=marks)
    try:
        yield execution
    except (asyncio.CancelledError, SystemExit):
        execution.write("cut", saw={})
        raise
    except Exception:
        execution.write("fail", saw={})
        raise


async def pause(least: float, most: float) -> None:
    """Work for a while."""
    await asyncio.sleep(random.uniform(least, most) * scale)  # noqa: S311 - no secret


# --- one step

single = Pipeline("single", input=Order, output=Done)


@single.step
async def only(order: Order, ctx: StepContext) -> Done:
    with running(ctx, "only") as execution:
        return execution.done()


# --- five steps

# Half of the fleet carries a newer version, as in the middle of a deployment; jobs are of the old.
chain = Pipeline("chain", version=os.environ.get(VERSION, OLD), input=Order, output=Done)


@chain.step
async def first(order: Order, ctx: StepContext) -> Done:
    with running(ctx, "first") as execution:
        await pause(0.0, 0.1)
        return execution.done()


@chain.step
async def second(first: Done, ctx: StepContext) -> Done:
    with running(ctx, "second", first=first) as execution:
        await pause(0.0, 0.2)
        return execution.done()


@chain.step
async def third(first: Done, second: Done, ctx: StepContext) -> Done:
    with running(ctx, "third", first=first, second=second) as execution:
        return execution.done()


@chain.step
async def fourth(second: Done, ctx: StepContext) -> Done:
    with running(ctx, "fourth", second=second) as execution:
        await pause(0.0, 0.2)
        return execution.done()


@chain.step
async def fifth(third: Done, fourth: Done, ctx: StepContext) -> Done:
    with running(ctx, "fifth", third=third, fourth=fourth) as execution:
        return execution.done()


# --- fan-outs

fixed = Pipeline("fixed", input=Order, output=Done)


@fixed.step(parallel=3)
async def side(order: Order, ctx: StepContext, name: str = Each(ITEMS)) -> Done:
    with running(ctx, "side") as execution:
        await pause(0.0, 0.3)
        return execution.done()


@fixed.step
async def gather(side: list[Done], ctx: StepContext) -> Done:
    with running(ctx, "gather", side=side) as execution:
        return execution.done()


dynamic = Pipeline("dynamic", input=Order, output=Done)


@dynamic.step
async def split(order: Order) -> list[int]:
    return list(range(order.number % 9))


@dynamic.step(parallel=4)
async def part(split: list[int], ctx: StepContext, number: int = Each(split)) -> Done:
    with running(ctx, "part") as execution:
        await pause(0.0, 0.3)
        return execution.done()


@dynamic.step
async def join(part: list[Done], ctx: StepContext) -> Done:
    with running(ctx, "join", part=part) as execution:
        return execution.done()


# --- items that fail

lossy = Pipeline("lossy", input=Order, output=Done)
AT_LEAST: Final = {"risky": 2}
"""How many items have to succeed, by their step; as many do."""


@lossy.step(parallel=2, retry=Retry(attempts=2, first=0.1))
async def risky(
    order: Order, ctx: StepContext, place: int = Each((0, 1, 2, 3), at_least=AT_LEAST["risky"])
) -> Done:
    with running(ctx, "risky") as execution:
        await pause(0.0, 0.2)
        if place == order.number % 4:
            raise PermanentError("not here")
        if place == (order.number + 1) % 4 and order.number % 3:
            raise RuntimeError("nor here")
        return execution.done()


@lossy.step
async def weigh(risky: list[ItemResult[Done]], ctx: StepContext) -> Done:
    with running(ctx, "weigh", risky=[one.output or Done(FAILED) for one in risky]) as execution:
        return execution.done()


# --- what is undone

undone = Pipeline("undone", input=Order, output=Done)


async def unbook(reserve: Done, order: Order, ctx: StepContext) -> Done:
    with running(ctx, "reserve.undo") as execution:
        await pause(0.0, 0.1)
        return execution.done()


async def unload(load: Done, place: int, ctx: StepContext) -> Done:
    with running(ctx, "load.undo") as execution:
        await pause(0.0, 0.2)
        if ctx.attempt <= place:
            raise RuntimeError("not yet")
        return execution.done()


@undone.step(undo=unbook)
async def reserve(order: Order, ctx: StepContext) -> Done:
    with running(ctx, "reserve") as execution:
        await pause(0.0, 0.1)
        return execution.done()


@undone.step(undo=unload, undo_retry=Retry(attempts=5, first=0.1))
async def load(reserve: Done, ctx: StepContext, place: int = Each((0, 1, 2))) -> Done:
    with running(ctx, "load", reserve=reserve) as execution:
        await pause(0.0, 0.2)
        return execution.done()


@undone.step
async def leave(load: list[Done], order: Order, ctx: StepContext) -> Done:
    with running(ctx, "leave", load=load):
        raise PermanentError("no way")


# --- checkpoints inside a step

careful = Pipeline("careful", input=Order, output=Done)


@careful.step
async def batches(order: Order, ctx: StepContext) -> Done:
    async def batch(name: str) -> Done:
        with running(ctx, "batches", name) as execution:
            await pause(0.1, 0.6)
            return execution.done()

    with running(ctx, "batches") as execution:
        for number in range(4):
            await ctx.once(f"batch {number}", batch, f"batch {number}")
        return execution.done()


# --- retries

flaky = Pipeline("flaky", input=Order, output=Done)


@flaky.step(retry=Retry(attempts=5, first=0.1, most=2.0))
async def stumble(order: Order, ctx: StepContext) -> Done:
    with running(ctx, "stumble") as execution:
        if ctx.attempt <= order.number % 4:
            raise RuntimeError("not yet")
        return execution.done()


@flaky.step(retry=Retry(attempts=3, first=1.5, most=4.0))
async def stumble_later(stumble: Done, ctx: StepContext) -> Done:
    with running(ctx, "stumble_later", stumble=stumble) as execution:
        if ctx.attempt <= order_of(ctx) % 3:
            raise RuntimeError("not yet")
        return execution.done()


def order_of(ctx: StepContext) -> int:
    """A number that is the job's own."""
    return ctx.job_id.int


# --- transactions

transfer = Pipeline("transfer", input=Order, output=Done)


@transfer.step
async def book(order: Order, ctx: StepContext, tx: Transaction) -> Done:
    with running(ctx, "book") as execution:
        await pause(0.0, 0.1)
        await tx.execute(
            "insert into bookings (job, run, mark) values ($1, $2, 'book')", ctx.job_id, ctx.run
        )
        await pause(0.0, 0.2)
        return execution.done()


# --- long ones

slow = Pipeline("slow", input=Order, output=Done)


@slow.step
async def crawl(order: Order, ctx: StepContext) -> Done:
    with running(ctx, "crawl") as execution:
        if order.poison:
            os._exit(1)
        for part in range(10):
            ctx.progress(part, 10)
            await asyncio.sleep(order.work / 10 * scale)
        return execution.done()


@slow.step
async def rest(crawl: Done, ctx: StepContext) -> Done:
    with running(ctx, "rest", crawl=crawl) as execution:
        return execution.done()


stubborn = Pipeline("stubborn", input=Order, output=Done)


@stubborn.step(timeout=max(0.3, 2 * scale))
async def resist(order: Order, ctx: StepContext) -> Done:
    with running(ctx, "resist") as execution:
        end = time.monotonic() + 12 * scale
        while ctx.attempt == 1 and time.monotonic() < end:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.05)
        return execution.done()


threaded = Pipeline("threaded", input=Order, output=Done)


@threaded.step
def block(order: Order, ctx: SyncContext) -> Done:
    with running(ctx, "block") as execution:
        time.sleep(0.3 * scale)
        return execution.done()


# --- a lock, and what it guards

locked = Pipeline("locked", input=Order, output=Done)


@locked.step
async def guarded(order: Order, ctx: StepContext) -> Done:
    key = f"resource-{order.number % RESOURCES}"
    with running(ctx, "guarded") as execution:
        async with ctx.lock(key, wait=20, ttl=max(1.0, 10 * scale)) as lock:
            for _ in range(3):
                if not guard.write(key, lock.token):
                    raise LockLostError(key, lock.token)
                await pause(0.0, 2.0)
        return execution.done()


# --- few at once, over all workers

limited = Pipeline("limited", input=Order, output=Done, concurrency=3, key_concurrency=2)


@limited.step
async def squeeze(order: Order, ctx: StepContext) -> Done:
    with running(ctx, "squeeze") as execution:
        await asyncio.sleep(order.work / 4 * scale)
        return execution.done()


# --- an operation that is done once for a tenant

paid = Pipeline("paid", input=Order, output=Done)


async def take_money(number: int) -> int:
    await pause(0.0, 0.1)
    return number


@paid.step
async def pay(order: Order, ctx: StepContext) -> Done:
    with running(ctx, "pay") as execution:
        await ctx.idempotent(f"order {order.number}", take_money, order.number)
        return execution.done()


ALL: Final = (
    *(
        single,
        chain,
        fixed,
        dynamic,
        lossy,
        undone,
        careful,
        flaky,
        transfer,
        slow,
        stubborn,
        threaded,
    ),
    *(locked, paid),
    limited,
)
