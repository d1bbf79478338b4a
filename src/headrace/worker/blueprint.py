"""What every job of a pipeline begins and ends with, worked out once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from headrace.model.undo import undo_graph
from headrace.store.entries import End

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.model.pipeline import Pipeline
    from headrace.model.step import Step
    from headrace.model.undo import UndoGraph


class Graph(Protocol):
    """Steps that wait for each other: a pipeline, or what undoes its jobs."""

    @property
    def steps(self) -> Mapping[str, Step]:
        """By name, none before one that it waits for."""

    @property
    def dependents(self) -> Mapping[str, tuple[str, ...]]:
        """For each step, those that wait for it."""

    @property
    def result_step(self) -> str | None:
        """Whose output is the job's result."""

    def __hash__(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Blueprint:
    """What every job of a pipeline begins and ends with.

    Attributes:
        first: The steps that wait for nothing.
        held: The steps that wait for no other step, but for a signal or a delay.
        waits: Whether any step waits for something else than other steps.
        has_children: Whether any step ends with a child job.
        unmet: How many steps each step waits for.
        count: The number of steps.
        completion: How a job ends whose steps all have an outcome.
    """

    first: tuple[Step, ...]
    held: tuple[Step, ...]
    waits: bool
    has_children: bool
    unmet: dict[str, int]
    count: int
    completion: End


@lru_cache(maxsize=1_000)
def blueprint_of(graph: Graph) -> Blueprint:
    """The blueprint of a pipeline, or of what undoes its jobs, worked out once."""
    steps = graph.steps
    return Blueprint(
        tuple(step for step in steps.values() if not step.needs and not step.is_held),
        tuple(step for step in steps.values() if not step.needs and step.is_held),
        any(step.is_held or step.has_child for step in steps.values()),
        any(step.has_child for step in steps.values()),
        {name: len(step.needs) for name, step in steps.items()},
        len(steps),
        End("completed", "completed", graph.result_step),
    )


@lru_cache(maxsize=1_000)
def undo_graph_of(pipeline: Pipeline[Any, Any], done: frozenset[str]) -> UndoGraph:
    """What undoes these steps of a pipeline, worked out once."""
    return undo_graph(pipeline.steps, done)


@lru_cache(maxsize=1_000)
def names_of(graph: Graph) -> dict[str, str]:
    """The present name of each earlier one of its steps."""
    return {old: step.name for step in graph.steps.values() for old in step.was}
