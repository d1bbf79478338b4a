"""Binding a parameter to data: the output of an earlier step, or the job's input."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from headrace.model.annotations import (
    Annotation,
    or_none,
    origin_of,
    plain,
    type_text,
    without_none,
)
from headrace.model.codec import codec_for
from headrace.model.fan_out import element_of
from headrace.model.fitting import fit
from headrace.model.item_result import ItemResult
from headrace.model.site import did_you_mean
from headrace.model.step import Binding, Source

if TYPE_CHECKING:
    from headrace.errors import DefinitionError
    from headrace.model.slot import Slot
    from headrace.model.step import Step


def bind_output(slot: Slot, step: Step) -> Binding:
    """Fill the parameter with what the step of its name returned.

    Raises:
        DefinitionError: TYPE_MISMATCH, TYPE_OPTIONAL or FAN_IN_LIST.
    """
    arrived = fit(step.produces, slot.annotation)
    if arrived is None:
        raise _output_mismatch(slot, step) if step.each is None else _list_mismatch(slot, step)
    source = Source.OUTPUT if step.each is None else Source.OUTPUTS
    return Binding(slot.name, source, step.name, codec_for(arrived))


def bind_input(slot: Slot) -> Binding:
    """Fill the parameter with the job's input, which the first one to take it names.

    Raises:
        DefinitionError: INPUT_NAME, PARAMETER_UNKNOWN or TYPE_MISMATCH.
    """
    arrived = fit(slot.around.input_type, slot.annotation)
    if slot.around.input_name not in {None, slot.name}:
        raise _unknown(slot) if arrived is None else _other_name(slot)
    if arrived is None:
        raise _input_mismatch(slot)
    return Binding(slot.name, Source.INPUT, codec=codec_for(arrived))


def _output_mismatch(slot: Slot, step: Step) -> DefinitionError:
    returned = step.output.annotation
    if step.may_skip and fit(without_none(returned), slot.annotation) is not None:
        return slot.error(
            "TYPE_OPTIONAL",
            f"the step {step.name} may return None or be skipped: write "
            f"`{slot.name}: {or_none(slot.annotation)}`",
        )
    return slot.error(
        "TYPE_MISMATCH",
        f"{slot.written} does not accept what the step {step.name} returns: write "
        f"`{slot.name}: {type_text(returned)}`",
    )


def _list_mismatch(slot: Slot, step: Step) -> DefinitionError:
    returned = step.output.annotation
    hint = f"write `{slot.name}: {type_text(step.produces)}`"
    element = element_of(slot.annotation)
    takes_results, may_fail = _is_result(element), _is_result(element_of(step.produces))
    if takes_results != may_fail or element is None or fit(returned, slot.annotation) is not None:
        return slot.error(
            "FAN_IN_LIST", _gathering(step, hint, wanted=takes_results, made=may_fail)
        )
    if may_fail:
        element = next(iter(get_args(plain(element))), None)
    if step.may_skip and fit(without_none(returned), element) is not None:
        return slot.error(
            "TYPE_OPTIONAL", f"an item of the step {step.name} may be None or skipped: {hint}"
        )
    return slot.error(
        "TYPE_MISMATCH",
        f"{slot.written} does not accept the outputs of the step {step.name}: {hint}",
    )


def _is_result(element: Annotation) -> bool:
    bare = plain(element)
    return bare is ItemResult or origin_of(bare) is ItemResult


def _gathering(step: Step, hint: str, *, wanted: bool, made: bool) -> str:
    """What to write, by whether `ItemResult`s are wanted, and made."""
    runs = f"the step {step.name} runs once per item"
    if made:
        return f"{runs}, and items may fail: {hint}"
    if wanted:
        return f"{runs}, and all have to succeed: {hint}, or let items fail with at_least="
    return f"{runs}: {hint}"


def _other_name(slot: Slot) -> DefinitionError:
    name = str(slot.around.input_name)
    hint = did_you_mean(slot.name, [*slot.around.steps, name])
    return slot.error(
        "INPUT_NAME",
        f"`{slot.name}` is no earlier step, and the job's input is called `{name}` in this "
        f"pipeline; use that name, or the name of the step you meant{hint}",
    )


def _unknown(slot: Slot) -> DefinitionError:
    names = [*slot.around.steps, *filter(None, [slot.around.input_name])]
    return slot.error(
        "PARAMETER_UNKNOWN",
        f"`{slot.name}` is no earlier step; {slot.accepted()}{did_you_mean(slot.name, names)}",
    )


def _input_mismatch(slot: Slot) -> DefinitionError:
    if slot.around.input_name is None and slot.around.steps:
        return _unknown(slot)
    wanted = type_text(slot.around.input_type)
    return slot.error(
        "TYPE_MISMATCH",
        f"{slot.written} does not accept the job's input: write `{slot.name}: {wanted}`",
    )
