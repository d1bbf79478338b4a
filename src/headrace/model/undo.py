"""The undo functions of steps: what they may ask for, and the order in which they run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from headrace.model.annotations import type_text
from headrace.model.definition import MISSING, read_function
from headrace.model.fitting import fit
from headrace.model.graph import wire
from headrace.model.items import EachBinding
from headrace.model.markers import UseSpec
from headrace.model.slot import Slot, Surroundings
from headrace.model.step import Binding, Source, Step
from headrace.model.storable import storable

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from headrace.model.options import CheckedOptions

SUFFIX: Final = ".undo"
"""Of an undo step's name: no other step can have it, as a dot is in no Python name."""


@dataclass(frozen=True, slots=True, eq=False)
class UndoGraph:
    """The steps of the job that undoes a run, as a chain.

    Attributes:
        steps: By name, the one that undoes the last step first.
        dependents: For each, the one that waits for it.
    """

    steps: Mapping[str, Step]
    dependents: Mapping[str, tuple[str, ...]]

    @property
    def result_step(self) -> None:
        """An undo job has no result."""
        return


def add_undo(
    step: Step, options: CheckedOptions, around: Surroundings, owner: str
) -> tuple[Step, str | None]:
    """Give a step the undo step that its options name, if they do.

    Args:
        step: The new step.
        options: Its options.
        around: The pipeline as it is above this step, with the input's name as it is known now.
        owner: The pipeline's name.

    Returns:
        The step, and the name of the job's input as it is known from here on.

    Raises:
        DefinitionError: UNDO_UNFIT, or what any step's function can be refused for.
    """
    if options.undo is None:
        return step, around.input_name
    declaration = read_function(owner, options.undo)
    offered = _offered(step, around)
    for parameter in declaration.parameters:
        _check_parameter(Slot(declaration, parameter, around), step, offered)
    wiring = wire(declaration, replace(around, steps=offered))
    each = step.each and EachBinding(step.each.parameter, step.each.codec)
    output = storable(declaration.returns, declaration.site, "the output")
    undo = Step(
        name=step.name + SUFFIX,
        was=tuple(old + SUFFIX for old in step.was),
        position=0,
        function=declaration.function,
        is_async=declaration.is_async,
        runs_in=None if declaration.is_async else "thread",
        memory=None,
        resumable=False,
        bindings=tuple(_of_item(binding, step) for binding in wiring.bindings),
        output=output,
        may_skip=output.accepts_none,
        needs=(),
        each=each,
        retry=options.undo_retry or step.retry,
        timeout=step.timeout,
        parallel=step.parallel,
        produces=output.annotation,
        undoes=step.name,
    )
    return replace(step, undo=undo), wiring.input_name


def undo_graph(steps: Mapping[str, Step], done: AbstractSet[str] | None = None) -> UndoGraph:
    """What undoes these steps: one after the other, against the order of their definition.

    Args:
        steps: By name, in the order of their definition.
        done: Those that are to be undone; None for all.
    """
    undos = [
        step.undo
        for step in reversed(tuple(steps.values()))
        if step.undo is not None and (done is None or step.name in done)
    ]
    before = [(), *((undo.name,) for undo in undos[:-1])] if undos else []
    chain = [
        replace(undo, needs=needs, position=position)
        for position, (undo, needs) in enumerate(zip(undos, before, strict=True))
    ]
    after = [*((undo.name,) for undo in undos[1:]), ()] if undos else []
    return UndoGraph(
        {undo.name: undo for undo in chain},
        {undo.name: names for undo, names in zip(chain, after, strict=True)},
    )


def _offered(step: Step, around: Surroundings) -> dict[str, Step]:
    """What can be asked for by its name: what the step waited for, its item, its own output."""
    offered = {name: around.steps[name] for name in _all_needs(step, around)}
    if step.each is not None:
        item = step.each
        offered[item.parameter] = replace(
            step, name=item.parameter, output=item.codec, each=None, produces=item.codec.annotation
        )
    return {**offered, step.name: replace(step, each=None, produces=step.output.annotation)}


def _all_needs(step: Step, around: Surroundings) -> set[str]:
    """All steps that have ended when this one begins."""
    found: set[str] = set()
    waiting = list(step.needs)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(around.steps[name].needs)
    return found


def _check_parameter(slot: Slot, step: Step, offered: Mapping[str, Step]) -> None:
    spec = slot.parameter.spec
    if spec is not None and not isinstance(spec, UseSpec):
        hint = "take the item by its parameter's name, without a default"
        if step.each is None:
            hint = "take what the step was given by name, or a client with Use(...)"
        raise slot.error(
            "UNDO_UNFIT",
            f"`{slot.name}` of the undo of {step.name} has a marker that only steps can have; "
            f"{hint}",
        )
    if spec is None and slot.name in slot.around.steps and slot.name not in offered:
        raise slot.error(
            "UNDO_UNFIT",
            f"the step {slot.name} may not have ended when {step.name} is undone, which does not "
            f"wait for it: add it to after= of {step.name}",
        )
    given = offered.get(slot.name)
    is_own = slot.name == step.name or (step.each and slot.name == step.each.parameter)
    if spec is None and is_own and given is not None:
        _check_own(slot, step, given)


def _check_own(slot: Slot, step: Step, given: Step) -> None:
    """What the step made, or its item, has to fit."""
    if slot.annotation is not MISSING and fit(given.produces, slot.annotation) is None:
        once = " for each item" if step.each is not None else ""
        what = f"returns{once}" if given.name == step.name else f"gets as `{slot.name}`"
        raise slot.error(
            "UNDO_UNFIT",
            f"{slot.written} does not accept what the step {step.name} {what}: write "
            f"`{slot.name}: {type_text(given.produces)}`",
        )


def _of_item(binding: Binding, step: Step) -> Binding:
    """In a fan-out, what comes by the step's own names is that of one item."""
    if step.each is None or binding.source is not Source.OUTPUT:
        return binding
    if binding.step == step.name:
        return replace(binding, source=Source.ITEM_OUTPUT)
    if binding.step == step.each.parameter:
        return replace(binding, source=Source.ITEM, step=None)
    return binding
