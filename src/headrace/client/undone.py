"""What undoes a run: the names of its steps, in the order in which they run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.model.undo import SUFFIX

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import TypeAlias

    from headrace.model.pipeline import Pipeline

    Names: TypeAlias = list[tuple[str, Sequence[str]]]
    """Steps, each with its earlier names."""


def undo_names(pipeline: Pipeline[Any, Any] | dict[str, Any], done: Iterable[str]) -> Names:
    """The steps of an undo job.

    Args:
        pipeline: The code, or a registered definition.
        done: The steps that it undoes, by their stored names.
    """
    wanted = set(done)
    steps = _defined(pipeline) if isinstance(pipeline, dict) else _coded(pipeline)
    return [
        (name + SUFFIX, [old + SUFFIX for old in was])
        for name, was in steps
        if not wanted.isdisjoint((name, *was))
    ]


def _coded(pipeline: Pipeline[Any, Any]) -> Iterable[tuple[str, Sequence[str]]]:
    for undo in pipeline.undo_graph.steps.values():
        step = pipeline.steps[undo.undoes or ""]
        yield step.name, step.was


def _defined(definition: Mapping[str, Any]) -> Iterable[tuple[str, Sequence[str]]]:
    for step in reversed(definition["steps"]):
        if step.get("undo"):
            yield step["name"], step["was"]
