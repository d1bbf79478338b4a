"""Binding a parameter with `Each`: a fixed sequence, or the list that an earlier step returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, get_args

from headrace.errors import ItemsError
from headrace.model.annotations import accepts_none, origin_of, plain, type_text
from headrace.model.fitting import fit
from headrace.model.items import EachBinding, fixed_items
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
    if isinstance(spec.source, tuple):
        return _fixed(slot, spec.source, spec)
    return _listed(slot, spec)


def element_of(annotation: Annotation) -> Annotation:
    """The type of the elements of a list; None where it is no list, or may be None."""
    bare = plain(annotation)
    args = get_args(bare)
    if origin_of(bare) not in _LISTS or accepts_none(annotation):
        return None
    if origin_of(bare) is tuple:
        return args[0] if args[1:] == (Ellipsis,) else None
    return args[0]


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
