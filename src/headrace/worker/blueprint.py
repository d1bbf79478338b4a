"""What every job of a pipeline begins and ends with, worked out once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from headrace.store.entries import End

if TYPE_CHECKING:
    from headrace.model.pipeline import Pipeline
    from headrace.model.step import Step


@dataclass(frozen=True, slots=True)
class Blueprint:
    """What every job of a pipeline begins and ends with.

    Attributes:
        first: The steps that wait for nothing.
        unmet: How many steps each step waits for.
        count: The number of steps.
        completion: How a job ends whose steps all have an outcome.
    """

    first: tuple[Step, ...]
    unmet: dict[str, int]
    count: int
    completion: End


@lru_cache(maxsize=1_000)
def blueprint_of(pipeline: Pipeline[Any, Any]) -> Blueprint:
    """The blueprint of a pipeline, worked out once."""
    steps = pipeline.steps
    return Blueprint(
        tuple(step for step in steps.values() if not step.needs),
        {name: len(step.needs) for name, step in steps.items()},
        len(steps),
        End("completed", "completed", pipeline.result_step),
    )
