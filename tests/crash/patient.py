"""The pipelines of the crash run that wait: for answers, jobs and the clock; and their undo."""

# ruff: noqa: ARG001 - a step takes the job's input to be a first step, not to use it

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from headrace import CancelJob, Each, JobHandle, Pipeline, Signal, StepContext, Transaction
from tests.crash.steps import Done, Order, pause, running, scale, single

HOUR_S: Final = 3600.0
VOTE_S: Final = max(1.0, 10 * scale)
TAKE: Final = "insert into stock (job, run, mark, change) values ($1, $2, $3, 1)"
GIVE_BACK: Final = "insert into stock (job, run, mark, change) values ($1, $2, $3, -1)"


@dataclass(frozen=True)
class Answer:
    """What is sent.

    Attributes:
        number: Tells it from other answers.
    """

    ok: bool
    number: int


# --- an answer that comes, and one that may be late

asked = Pipeline("asked", input=Order, output=Done)


@asked.step
async def prepare(order: Order, ctx: StepContext) -> Done:
    with running(ctx, "prepare") as execution:
        await pause(0.0, 0.2)
        return execution.done()


@asked.step
async def hear(
    prepare: Done,
    ctx: StepContext,
    answer: Answer = Signal(timeout=HOUR_S),
    vote: Answer | None = Signal(timeout=VOTE_S),
) -> Done:
    with running(ctx, "hear", prepare=prepare) as execution:
        await pause(0.0, 0.2)
        return execution.done(answer=answer, vote=vote)


# --- time

delayed = Pipeline("delayed", input=Order, output=Done)


@delayed.step
async def begin(order: Order, ctx: StepContext) -> Done:
    with running(ctx, "begin") as execution:
        return execution.done()


@delayed.step(delay=max(0.3, 6 * scale))
async def later(begin: Done, ctx: StepContext) -> Done:
    with running(ctx, "later", begin=begin) as execution:
        return execution.done()


# --- children

family = Pipeline("family", input=Order, output=Done)


@family.step
async def spread(order: Order) -> list[int]:
    return list(range(order.number % 4))


@family.step
async def grow(order: Order, ctx: StepContext, one: int = Each(spread)) -> JobHandle[Done]:
    return await ctx.submit(single, Order(order.number * 10 + one))


@family.step
async def meet(grow: list[Done], ctx: StepContext) -> Done:
    with running(ctx, "meet", grow=grow) as execution:
        return execution.done()


# --- all of it, and what undoes it

booked = Pipeline("booked", input=Order, output=Done)


async def give_back(take: Done, ctx: StepContext, tx: Transaction) -> None:
    await tx.execute(GIVE_BACK, ctx.job_id, ctx.run, take.mark)


@booked.step(undo=give_back)
async def take(order: Order, ctx: StepContext, tx: Transaction) -> Done:
    with running(ctx, "take") as execution:
        done = execution.done()
        await tx.execute(TAKE, ctx.job_id, ctx.run, done.mark)
        await pause(0.0, 0.2)
        return done


@booked.step
async def agree(take: Done, ctx: StepContext, answer: Answer = Signal(timeout=HOUR_S)) -> Done:
    with running(ctx, "agree", take=take) as execution:
        done = execution.done(answer=answer)
        if not answer.ok:
            raise CancelJob("no")
        return done


@booked.step
async def send_out(order: Order, agree: Done, ctx: StepContext) -> JobHandle[Done]:
    return await ctx.submit(delayed, order)


@booked.step
async def close(send_out: Done, ctx: StepContext) -> Done:
    with running(ctx, "close", send_out=send_out) as execution:
        return execution.done()


# --- a schedule

pulse = Pipeline("pulse", input=datetime, output=Done)


@pulse.schedule("* * * * *", missed="all")
def every_minute(slot: datetime) -> datetime:
    return slot


@pulse.step
async def beat(slot: datetime, ctx: StepContext) -> Done:
    with running(ctx, "beat") as execution:
        return execution.done()


ASKING: Final = {"asked": ("answer", "vote"), "booked": ("answer",)}
"""What is sent to jobs, by their pipeline."""
ALL: Final = (asked, delayed, family, booked, pulse)
