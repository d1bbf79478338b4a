"""Whatever a pipeline is, and wherever it fails: undone is what was completed, in reverse."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from itertools import pairwise

from headrace import Each, JobHandle, Pipeline, StepContext
from headrace.testing import Engine
from tests.undo.conftest import MakeEngine
from tests.undo.shop import ONCE, undo_of

PIPELINES, JOBS = 6, 6


@dataclass
class Trial:
    """A random pipeline, and by job what was done and undone."""

    pipeline: Pipeline[int, int]
    steps: int
    undoable: set[str] = field(default_factory=set)
    done: dict[str, list[str]] = field(default_factory=dict)
    undone: dict[str, list[str]] = field(default_factory=dict)


def make_trial(chance: random.Random, number: int) -> Trial:
    """Steps that need some earlier ones, of which some can be undone and some have items.

    The input is the position of the step that fails.
    """
    trial = Trial(Pipeline(f"trial{number}", input=int, output=int), chance.randint(2, 7))
    made: list[object] = []
    for position in range(trial.steps):
        name = f"s{position}"
        after = chance.sample(made, min(len(made), chance.randint(0, 3)))
        undo = None
        if chance.random() < 0.7:
            trial.undoable.add(name)
            undo = make_undo(trial, name)
        add = make_item_step if chance.random() < 0.3 else make_step
        step = add(trial, position)
        trial.pipeline.step(name=name, after=after, retry=ONCE, undo=undo)(step)
        made.append(step)
    return trial


def make_undo(trial: Trial, name: str) -> object:
    async def undo(ctx: StepContext) -> None:
        trial.undone.setdefault(str(ctx.job_id), []).append(name)

    return undo


def make_step(trial: Trial, position: int) -> object:
    async def step(failing: int, ctx: StepContext) -> int:
        return do(trial, position, failing, ctx)

    return step


def make_item_step(trial: Trial, position: int) -> object:
    async def step(failing: int, ctx: StepContext, item: int = Each([1, 2])) -> int:
        return do(trial, position, failing, ctx) + item

    return step


def do(trial: Trial, position: int, failing: int, ctx: StepContext) -> int:
    if position == failing:
        raise RuntimeError(f"{failing}")
    trial.done.setdefault(str(ctx.job_id), []).append(f"s{position}")
    return position


class TestAnyPipeline:
    async def test_undone_is_exactly_what_was_completed_in_reverse(self, make_engine: MakeEngine):
        chance = random.Random(20_261_123)  # noqa: S311 - a test that fails has to fail again
        trials = [make_trial(chance, number) for number in range(PIPELINES)]
        for trial in trials:

            @trial.pipeline.step(retry=ONCE)
            async def last(failing: int) -> int:
                raise RuntimeError(f"{failing}")

        async with make_engine([trial.pipeline for trial in trials]) as engine:
            jobs = [
                (trial, await engine.submit(trial.pipeline, chance.randrange(trial.steps)))
                for trial in trials
                for _ in range(JOBS)
            ]
            await engine.run_until_empty(30)
            for trial, job in jobs:
                await check(engine, trial, job)


async def check(engine: Engine, trial: Trial, job: JobHandle[int]) -> None:
    rows = await engine.steps(job)
    wanted = [row.step for row in rows if row.state == "completed" and row.step in trial.undoable]
    if not wanted:
        assert (await job.status()).undo is None
        return
    undo = await undo_of(job)
    assert undo.state == "completed"
    found = trial.undone[undo.job_id]
    assert sorted(found) == sorted(wanted)
    assert all(one >= two for one, two in pairwise(int(name[1:]) for name in found))
    assert [step.name for step in undo.steps] == sorted(set(wanted), reverse=True)
