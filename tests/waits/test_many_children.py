"""A job of thousands of items that wait for children is taken up again in no time."""

import json
from time import monotonic
from typing import Any

from headrace import Each, JobHandle, Pipeline, StepContext
from headrace.worker.run import JobRun
from tests.worker.process_bench import claim_of

ITEMS = 40_000

leaf = Pipeline("leaf", input=int, output=int)
parent = Pipeline("parent", input=int, output=list[int])


@leaf.step
async def echo(number: int) -> int:
    return number


@parent.step
async def spread(number: int) -> list[int]:
    return list(range(number))


@parent.step
async def ask(ctx: StepContext, one: int = Each(spread)) -> JobHandle[int]:
    return await ctx.submit(leaf, one)


class TestAJobThatIsClaimedAgain:
    def test_each_child_is_known_again_at_once(self) -> None:
        """All other jobs of the worker wait until it has begun."""
        order: Any = 1
        writer: Any = None
        run = JobRun(claim_of(parent, order), writer, monotonic())
        run.plan("ask", [(str(item), json.dumps(item)) for item in range(ITEMS)])
        began = monotonic()
        for item in reversed(range(ITEMS)):  # as they are read: the last one first
            run.await_child(("ask", str(item)), f"child {item}")
        assert monotonic() - began < 5
        assert len(run.holding().children) == ITEMS
        assert not run.fans["ask"].waiting
