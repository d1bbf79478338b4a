"""Where an undo job stands in its queue."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from headrace import JobHandle, Pipeline, Signal, StepContext
from tests.undo.conftest import MakeEngine
from tests.waits.looking import until_waiting

if TYPE_CHECKING:
    from headrace.testing import Engine

HEAD = "select due_at - rank from headrace.jobs where undo_of = $1::uuid"
SOON = timedelta(seconds=5)

patient = Pipeline("patient", input=int, output=int)
leaf = Pipeline("leaf", input=int, output=int)
parent = Pipeline("parent", input=int, output=int)


async def forget(note: int) -> None:
    assert note


@leaf.step
async def decide(number: int, word: int = Signal(timeout=timedelta(days=30))) -> int:
    return number + word


@patient.step(undo=forget)
async def note(number: int) -> int:
    return number


@patient.step
async def answer(note: int, word: int = Signal(timeout=timedelta(days=30))) -> int:
    return note + word


@parent.step(name="note", undo=forget)
async def note_too(number: int) -> int:
    return number


@parent.step
async def ask(note: int, ctx: StepContext) -> JobHandle[int]:
    return await ctx.submit(leaf, note)


async def head_start(engine: Engine, job: JobHandle[Any]) -> timedelta:
    """By how much what undoes a job goes ahead of what came at the same time."""
    async with engine.connection() as connection:
        found: timedelta = await connection.fetchval(HEAD, job.id)
    return found


class TestOfAJobThatWaitedForOthers:
    @pytest.mark.parametrize(("pipe", "reason"), [(patient, "external"), (parent, "child")])
    @pytest.mark.parametrize("priority", [0, 3])
    async def test_it_has_the_head_start_of_the_jobs_priority_and_no_more(
        self, make_engine: MakeEngine, pipe: Pipeline[int, int], reason: str, priority: int
    ):
        async with make_engine([patient, parent, leaf]) as engine, engine.worker():
            job = await engine.submit(pipe, 1, priority=priority)
            await until_waiting(job, reason)
            await job.cancel()
            found = await head_start(engine, job)
        assert abs(found - priority * timedelta(minutes=1)) < SOON
