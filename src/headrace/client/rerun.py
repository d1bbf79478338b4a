"""What a new run of an ended job runs again, and what it takes over."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from headrace.errors import (
    CodecError,
    OptionError,
    OutputError,
    StepNotFoundError,
    UndoFailedError,
    UndoJobError,
    UndoUnderWayError,
)
from headrace.model.job import JobState
from headrace.store.operations import GivenOutput, NewRun

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headrace.model.pipeline import Pipeline
    from headrace.model.step import Step
    from headrace.store.operations import Ended


@dataclass(frozen=True, slots=True)
class Rerun:
    """How an ended job is to run again."""

    from_step: str | None
    overrides: Mapping[str, Any]
    """Outputs by their step, as JSON values."""
    most_bytes: int
    """Of one of them."""
    force: bool = field(kw_only=True)

    def plan(
        self,
        ended: Ended,
        pipeline: Pipeline[Any, Any] | None,
        definition: Mapping[str, Any] | None,
    ) -> NewRun:
        """What the new run takes over.

        Args:
            ended: What is to run again.
            pipeline: The code that will run, if this app has it.
            definition: What was registered of the job's version.

        Raises:
            StepNotFoundError: There is no such step.
            OptionError: An output that is given cannot be stored.
            UndoError: What the job had done is not undone yet, or it is an undo job itself, which
                only goes on.
        """
        if ended.undo_of is not None:
            return self._go_on(ended)
        self._check_undone(ended)
        given = [self._output(pipeline, name) for name in self.overrides]
        if self.force:
            return NewRun(None, given)
        graph = _graph_of(pipeline, definition)
        begins = {*self.overrides} if self.from_step is None else {self.from_step, *self.overrides}
        for name in begins:
            if name not in graph:
                raise StepNotFoundError(name, tuple(graph))
        if ended.undo is not None:
            begins |= _present_names(graph, ended.undo.undone)
        again = _names_from(graph, begins)
        uses = _uses(pipeline, definition)
        return NewRun(again, given, uses, _asks(pipeline, definition, again))

    def _go_on(self, ended: Ended) -> NewRun:
        if self.force or self.from_step is not None or self.overrides:
            raise UndoJobError(ended.id, ended.undo_of)
        return NewRun(())

    def _check_undone(self, ended: Ended) -> None:
        undo = ended.undo
        if undo is None or undo.state is JobState.COMPLETED:
            return
        if not undo.state.is_final:
            raise UndoUnderWayError(ended.id, undo.id)
        if not self.force:
            raise UndoFailedError(ended.id, undo.id)

    def _output(self, pipeline: Pipeline[Any, Any] | None, name: str) -> GivenOutput:
        if pipeline is None:
            raise OptionError("override_outputs", "its pipeline is not one of this app")
        step = pipeline.steps.get(name)
        if step is None:
            raise StepNotFoundError(name, tuple(pipeline.steps))
        if step.each is not None:
            raise OptionError(f"override_outputs.{name}", "it has an output for each of its items")
        return GivenOutput(name, step.position, self._text(step))

    def _text(self, step: Step) -> str:
        option = f"override_outputs.{step.name}"
        try:
            value = step.output.decode(orjson.dumps(self.overrides[step.name]).decode())
            text = step.output.encode(value)
        except (CodecError, OutputError) as error:
            raise OptionError(option, str(error)) from error
        if len(text.encode()) > self.most_bytes:
            raise OptionError(option, f"it takes more than {self.most_bytes:,} bytes")
        return text


def _present_names(
    graph: Mapping[str, tuple[Sequence[str], Sequence[str]]], names: Sequence[str]
) -> set[str]:
    """The steps of these names, of which some may be earlier ones."""
    wanted = set(names)
    return {name for name, (was, _) in graph.items() if not wanted.isdisjoint((name, *was))}


def _names_from(
    graph: Mapping[str, tuple[Sequence[str], Sequence[str]]], begins: set[str]
) -> list[str]:
    """These steps and all that depend on them, with their earlier names."""
    again = set(begins)
    names: list[str] = []
    for name, (was, needs) in graph.items():  # a step stands below those that it needs
        if name in again or not again.isdisjoint(needs):
            again.add(name)
            names.extend((name, *was))
    return names


def _uses(
    pipeline: Pipeline[Any, Any] | None, definition: Mapping[str, Any] | None
) -> list[tuple[str, str]]:
    """The steps whose items may fail, with each that needs them, under all their names."""
    graph = _graph_of(pipeline, definition)
    return [
        (name, needing)
        for step in _steps_that_may_fail(pipeline, definition)
        for follower, (was, needs) in graph.items()
        if step in needs
        for name in (step, *graph[step][0])
        for needing in (follower, *was)
    ]


def _asks(
    pipeline: Pipeline[Any, Any] | None,
    definition: Mapping[str, Any] | None,
    again: Sequence[str],
) -> list[str]:
    """The signals that no step takes but those that run again."""
    if pipeline is not None:
        steps = pipeline.steps.values()
        takes = [(step.name, [signal.name for signal in step.signals]) for step in steps]
    else:
        found = definition["steps"] if definition else ()
        takes = [(step["name"], step.get("signals", ())) for step in found]
    stand = {signal for step, signals in takes if step not in again for signal in signals}
    return sorted({signal for _, signals in takes for signal in signals} - stand)


def _steps_that_may_fail(
    pipeline: Pipeline[Any, Any] | None, definition: Mapping[str, Any] | None
) -> list[str]:
    if pipeline is not None:
        steps = pipeline.steps.values()
        return [step.name for step in steps if step.each and step.each.at_least is not None]
    found = definition["steps"] if definition else ()
    return [step["name"] for step in found if step.get("at_least") is not None]


def _graph_of(
    pipeline: Pipeline[Any, Any] | None, definition: Mapping[str, Any] | None
) -> dict[str, tuple[Sequence[str], Sequence[str]]]:
    """Each step's earlier names and what it needs, in the order of the definition."""
    if pipeline is not None:
        return {name: (step.was, step.needs) for name, step in pipeline.steps.items()}
    steps = definition["steps"] if definition else ()
    return {step["name"]: (step["was"], step["needs"]) for step in steps}
