"""Binding a parameter with `Each`: a fixed sequence, or the list that an earlier step returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, get_args

from headrace.errors import ItemsError
from headrace.model.annotations import accepts_none, origin_of, plain, type_text
from headrace.model.fitting import fit
from headrace.model.item_result import ItemResult
from headrace.model.items import MAX_ITEMS, EachBinding, fixed_items
from headrace.model.site import did_you_mean
from headrace.model.slot import steps_text
from headrace.model.storable import storable

if TYPE_CHECKING:
    from headrace.model.annotations import Annotation
    from headrace.model.markers import EachSpec
    from headrace.model.slot import Slot
    from headrace.model.step import Step

_LISTS: Final = (list, tuple, Sequence)


def bind_each(slot: Slot, spec: EachSpec, other: EachBinding | None) -> EachBinding:
    """How a step gets its items.

    Args:
        slot: The parameter that takes the item.
        spec: Its `Each`.
        other: The `Each` of another parameter of the same step.

    Raises:
        DefinitionError: One of the EACH codes, or the items cannot be stored.
    """
    if other is not None:
        raise slot.error(
            "EACH_TWICE",
            f"`{other.parameter}` and `{slot.name}` are both Each(...); return a list of pairs "
            "from an earlier step, and use one Each on it",
        )
    at_least = _checked_count(slot, spec)
    if isinstance(spec.source, tuple):
        return replace(_fixed(slot, spec.source, spec), at_least=at_least)
    return replace(_listed(slot, spec), at_least=at_least)


def element_of(annotation: Annotation) -> Annotation:
    """The type of the elements of a list; None where it is no list, or may be None."""
    bare = plain(annotation)
    args = get_args(bare)
    if origin_of(bare) not in _LISTS or accepts_none(annotation):
        return None
    if origin_of(bare) is tuple:
        return args[0] if args[1:] == (Ellipsis,) else None
    return args[0]


def gathered_type(annotation: Annotation, each: EachBinding) -> Annotation:
    """The type that later steps get of a step that runs once per item and returns `annotation`."""
    if each.at_least is None:
        return list[annotation]
    return list[ItemResult[annotation]]


def _checked_count(slot: Slot, spec: EachSpec) -> int | None:
    at_least, source = spec.at_least, spec.source
    if at_least is None:
        return None
    most = min(len(source), MAX_ITEMS) if isinstance(source, tuple) else MAX_ITEMS
    if type(at_least) is int and 0 <= at_least <= most:
        return at_least
    limit = "as many as the sequence has" if isinstance(source, tuple) else "the most items"
    raise slot.error(
        "EACH_AT_LEAST",
        f"Each(..., at_least={at_least!r}) of `{slot.name}`; write how many items have to "
        f"succeed: a whole number from 0 to {most:,}, {limit}",
    )


def _fixed(slot: Slot, sequence: tuple[object, ...], spec: EachSpec) -> EachBinding:
    codec = storable(slot.annotation, slot.declaration.site, f"the items of `{slot.name}`")
    try:
        items = fixed_items(slot.name, sequence, codec, spec.key)
    except ItemsError as error:
        raise slot.error("EACH_ITEM", f"Each(...): {error}") from error
    return EachBinding(slot.name, codec, items=items)


def _listed(slot: Slot, spec: EachSpec) -> EachBinding:
    step = _source_of(slot, spec)
    element = element_of(step.produces)
    if element is None:
        raise slot.error(
            "EACH_NOT_LIST",
            f"the step {step.name} returns {type_text(step.produces)}, and Each(...) needs a "
            "list: write `-> list[...]` there, and return an empty one for nothing",
        )
    arrived = fit(element, slot.annotation)
    if arrived is None:
        needed = type_text(element)
        raise slot.error(
            "EACH_ITEM",
            f"{slot.written} does not accept the elements of what {step.name} returns: write "
            f"`{slot.name}: {needed}`",
        )
    codec = storable(arrived, slot.declaration.site, f"the items of `{slot.name}`")
    return EachBinding(slot.name, codec, step.name, key_of=spec.key)


def _source_of(slot: Slot, spec: EachSpec) -> Step:
    if not callable(spec.source):
        raise slot.error(
            "EACH_KIND",
            f"Each(...) of `{slot.name}` got a {type(spec.source).__name__}; it takes a list, a "
            "tuple, or an earlier step that returns one",
        )
    step = slot.around.step_of(spec.source)
    if step is None:
        name = getattr(spec.source, "__name__", type(spec.source).__name__)
        raise slot.error(
            "EACH_UNKNOWN",
            f"Each({name}) of `{slot.name}` is not an earlier step of this pipeline; "
            f"there are {steps_text(slot.around.steps)}{did_you_mean(name, slot.around.steps)}",
        )
    if step.each is not None:
        raise slot.error(
            "EACH_OF_EACH",
            f"the step {step.name} runs once per item itself; gather its outputs first, in a step "
            f"that takes `{step.name}: {type_text(step.produces)}` and returns a list",
        )
    return step
