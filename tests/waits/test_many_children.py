"""A job of thousands of items that wait for children is taken up again in no time."""

from __future__ import annotations

import json
from time import monotonic
from typing import Any

from headrace import Each, JobHandle, Pipeline, StepContext
from headrace.worker.run import JobRun
from tests.worker.process_bench import claim_of

ITEMS = 1_000

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


class Key(str):
    """The key of an item, which counts how often it is compared with another one."""

    __slots__ = ()
    compared = 0

    def __eq__(self, other: object) -> bool:
        Key.compared += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


class TestAJobThatIsClaimedAgain:
    def test_each_child_is_known_again_at_once(self) -> None:
        """All other jobs of the worker wait until it has begun."""
        order: Any = 1
        writer: Any = None
        run = JobRun(claim_of(parent, order), writer, monotonic())
        keys = [Key(item) for item in range(ITEMS)]
        run.plan("ask", [(key, json.dumps(int(key))) for key in keys])
        for key in reversed(keys):  # as they are read: the last one first
            run.await_child(("ask", key), f"child {key}")
        assert Key.compared < 10 * ITEMS
        assert len(run.holding().children) == ITEMS
        assert not run.fans["ask"].waiting
