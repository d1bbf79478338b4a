"""Whether a value of one type may arrive where another type is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, TypeVar, get_args

from headrace.model.annotations import (
    ANYTHING,
    NONE,
    UNIONS,
    members,
    origin_of,
    parts,
    plain,
    union_of,
)

if TYPE_CHECKING:
    from headrace.model.annotations import Annotation


def fit(produced: Annotation, wanted: Annotation) -> Annotation:
    """The type as which a value of `produced` arrives where `wanted` is asked for.

    A type fits if it is equal, a subclass, a member of a wider union, an int for a float, or a
    container that fits element by element. The value keeps the produced type (so a look-alike
    member of a wider union can never take its place), except that ints become floats.

    Returns:
        The annotation to decode with, or None where the types do not fit.
    """
    if any(isinstance(part, TypeVar) for part in (*parts(produced), *parts(wanted))):
        return None
    try:
        return _fit(produced, wanted)
    except RecursionError:  # two aliases that hold themselves, and are not the same
        return None


def _fit(produced: Annotation, wanted: Annotation) -> Annotation:
    bare, target = plain(produced), plain(wanted)
    if produced == wanted or (bare == target and wanted is target):
        return NONE if produced is None else produced
    if origin_of(wanted) is Annotated:
        arrived = _fit(produced, target)
        return None if arrived is None else Annotated[(arrived, *wanted.__metadata__)]
    if target in ANYTHING or bare in ANYTHING:
        return produced if target in ANYTHING else None
    if len(members(bare)) > 1:
        return _fit_all(produced, target)
    if origin_of(target) in UNIONS:
        return _fit_any(produced, target)
    return _fit_one(produced, bare, target)


def _fit_all(produced: Annotation, target: Annotation) -> Annotation:
    sources = members(produced)
    arrived = [_fit(member, target) for member in sources]
    if any(one is None for one in arrived):
        return None
    return produced if arrived == list(sources) else union_of(arrived)


def _fit_any(produced: Annotation, target: Annotation) -> Annotation:
    options = members(target)
    if any(plain(option) == plain(produced) for option in options):
        return produced
    arrived = (_fit(produced, option) for option in options)
    return next((one for one in arrived if one is not None), None)


def _fit_one(produced: Annotation, bare: Annotation, target: Annotation) -> Annotation:
    if origin_of(bare) is Literal:
        return produced if _literal_fits(get_args(bare), target) else None
    supertype = getattr(bare, "__supertype__", None)  # a NewType is a subtype of what it wraps
    if supertype is not None:
        return produced if _fit(supertype, target) is not None else None
    if bare is int and target is float:
        return float
    if get_args(target) and origin_of(target) is not Literal:
        return _fit_generic(produced, bare, target)
    if _is_subclass(origin_of(bare) or bare, origin_of(target) or target):
        return produced
    return None


def _literal_fits(values: tuple[Annotation, ...], target: Annotation) -> bool:
    if origin_of(target) is Literal:
        accepted = [(type(value), value) for value in get_args(target)]
        return all((type(value), value) in accepted for value in values)
    return all(_fit(type(value), target) is not None for value in values)


def _fit_generic(produced: Annotation, bare: Annotation, target: Annotation) -> Annotation:
    origin = origin_of(bare)
    if origin is None:  # a plain class: perhaps `class Reviews(Page[Review])`
        bases = getattr(bare, "__orig_bases__", ())
        return produced if any(_fit(base, target) is not None for base in bases) else None
    if not _is_subclass(origin, origin_of(target)):
        return None
    source = get_args(bare)
    wanted = _tuple_targets(source, target) if origin is tuple else get_args(target)
    if wanted is None or len(source) != len(wanted):
        return None
    arrived = tuple(
        one if one is Ellipsis else _fit(one, other)
        for one, other in zip(source, wanted, strict=True)
    )
    if any(one is None for one in arrived):
        return None
    return produced if arrived == source else origin[arrived]


def _tuple_targets(
    source: tuple[Annotation, ...], target: Annotation
) -> tuple[Annotation, ...] | None:
    """What each argument of a tuple must fit; None where the lengths cannot match."""
    wanted = get_args(target)
    if origin_of(target) is tuple and Ellipsis not in wanted:
        return None if Ellipsis in source else wanted
    return (wanted[0],) * len(source)


def _is_subclass(one: object, other: object) -> bool:
    try:
        return isinstance(one, type) and isinstance(other, type) and issubclass(one, other)
    except TypeError:  # a protocol with data members, a TypedDict
        return False
