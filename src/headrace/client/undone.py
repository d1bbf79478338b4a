"""What undoes a run: the names of its steps, in the order in which they run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.model.undo import SUFFIX
from headrace.store.sql import SQL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import TypeAlias
    from uuid import UUID

    from headrace.model.pipeline import Pipeline
    from headrace.store.pool import Connection

    Names: TypeAlias = list[tuple[str, Sequence[str]]]
    """Steps, each with its earlier names."""


async def undo_names(
    connection: Connection,
    pipeline: Pipeline[Any, Any] | dict[str, Any],
    job: UUID,
    run: int,
) -> Names:
    """The steps of the job that undoes a run.

    Args:
        connection: Where to read.
        pipeline: The code, or a registered definition.
        job: The job that is undone.
        run: Which run of it.
    """
    rows = await connection.fetch(SQL["undo.list_done"], job, run)
    done = {row["step"] for row in rows}
    steps = _defined(pipeline) if isinstance(pipeline, dict) else _coded(pipeline)
    return [
        (name + SUFFIX, [old + SUFFIX for old in was])
        for name, was in steps
        if not done.isdisjoint((name, *was))
    ]


def _coded(pipeline: Pipeline[Any, Any]) -> Iterable[tuple[str, Sequence[str]]]:
    for undo in pipeline.undo_graph.steps.values():
        step = pipeline.steps[undo.undoes or ""]
        yield step.name, step.was


def _defined(definition: Mapping[str, Any]) -> Iterable[tuple[str, Sequence[str]]]:
    for step in reversed(definition["steps"]):
        if step.get("undo"):
            yield step["name"], step["was"]
