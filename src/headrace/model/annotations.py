"""What annotations say: their text, whether they are vague, and whether one fits another."""

from __future__ import annotations

import collections.abc
import functools
import operator
import types
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin

from typing_extensions import TypeAliasType

NONE: Final = type(None)
_UNIONS: Final = frozenset({Union, types.UnionType})
_ANYTHING: Final = (Any, object)
_BARE: Final = frozenset({
    *(list, dict, tuple, set, frozenset),
    *(
        getattr(collections.abc, name)
        for name in ("Collection", "Sequence", "MutableSequence", "Set", "MutableSet")
    ),
    *(getattr(collections.abc, name) for name in ("Mapping", "MutableMapping", "Iterable")),
})


def type_text(annotation: object) -> str:
    """An annotation as it is written in code: `list[Review]`, `Proposal | None`."""
    if annotation is None or annotation is NONE:
        return "None"
    if annotation is Ellipsis:
        return "..."
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, args))}]"
    if origin is Annotated:
        return type_text(args[0])
    if origin in _UNIONS:
        return " | ".join(map(type_text, args))
    if origin is not None and args:
        return f"{type_text(origin)}[{', '.join(map(_argument_text, args))}]"
    name = getattr(annotation, "__qualname__", None) or getattr(annotation, "__name__", None)
    return str(name).rpartition("<locals>.")[2] if name else repr(annotation)


def _argument_text(argument: object) -> str:
    if isinstance(argument, list):
        return f"[{', '.join(map(type_text, argument))}]"
    return type_text(argument)


def plain(annotation: Any) -> Any:  # noqa: ANN401 - annotations are any objects
    """The type itself: without `Annotated`, aliases resolved, None as its type."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif isinstance(annotation, TypeAliasType):
            annotation = annotation.__value__
        elif annotation is None:
            return NONE
        else:
            return annotation


def members(annotation: object) -> tuple[Any, ...]:
    """The members of a union, nested ones too; any other type is its own only member."""
    bare = plain(annotation)
    if get_origin(bare) not in _UNIONS:
        return (annotation if annotation is not None else NONE,)
    return tuple(inner for member in get_args(bare) for inner in members(member))


def accepts_none(annotation: object) -> bool:
    """Whether None is a value of the type."""
    return any(
        plain(member) is NONE
        or plain(member) in _ANYTHING
        or (get_origin(plain(member)) is Literal and None in get_args(plain(member)))
        for member in members(annotation)
    )


def without_none(annotation: object) -> Any:  # noqa: ANN401 - annotations are any objects
    """The union without its None; the annotation itself where there is none."""
    kept = [member for member in members(annotation) if plain(member) is not NONE]
    return _union(kept) if kept and len(kept) < len(members(annotation)) else annotation


def or_none(annotation: object) -> str:
    """The text of the annotation with None added to it."""
    text = type_text(annotation)
    return text if accepts_none(annotation) else f"{text} | None"


def parts(annotation: object) -> Iterator[Any]:
    """The annotation and everything that it is made of, outermost first."""
    yield annotation
    bare = plain(annotation)
    if bare is not annotation:
        yield bare
    if get_origin(bare) is not Literal:
        for argument in get_args(bare):
            for inner in argument if isinstance(argument, list) else (argument,):
                yield from parts(inner)


def vagueness(annotation: object) -> str | None:
    """Why a value could not be stored and read back by this annotation; None if it can.

    `Any` and `object` are vague as a whole or as a member of a union; inside a container
    (`dict[str, Any]`) they are plain JSON values, and the check of each output covers them.
    """
    for member in members(annotation):
        if plain(member) in _ANYTHING:
            return f"{type_text(plain(member))} does not say what is stored"
    for part in parts(annotation):
        if isinstance(part, TypeVar):
            return f"the type variable {type_text(part)} stands for many types"
        if is_bare_generic(part):
            return f"{type_text(part)} does not say what it holds"
    return None


def is_bare_generic(part: object) -> bool:
    """Whether a generic type is written without its arguments, as `list` or `Page`."""
    if get_args(part):
        return False
    if get_origin(part) is not None:  # `typing.List` without arguments
        return part != tuple[()] and get_origin(part) in _BARE
    if isinstance(part, type) and part in _BARE:
        return True
    pydantic_generic = getattr(part, "__pydantic_generic_metadata__", None)
    if pydantic_generic is not None:
        return bool(pydantic_generic["parameters"])
    return isinstance(part, type) and bool(getattr(part, "__parameters__", ()))


def fit(produced: object, wanted: object) -> Any:  # noqa: ANN401 - annotations are any objects
    """The type as which a value of `produced` arrives where `wanted` is asked for.

    A type fits if it is equal, a subclass, a member of a wider union, an int for a float, or a
    container that fits element by element. The value keeps the produced type (so a look-alike
    member of a wider union can never take its place), except that ints become floats.

    Returns:
        The annotation to decode with, or None where the types do not fit.
    """
    if any(isinstance(part, TypeVar) for part in (*parts(produced), *parts(wanted))):
        return None
    return _fit(produced, wanted)


def _fit(produced: Any, wanted: Any) -> Any:  # noqa: ANN401, PLR0911 - one exit a rule
    bare, target = plain(produced), plain(wanted)
    if produced == wanted or (bare == target and wanted is target):
        return NONE if produced is None else produced
    if get_origin(wanted) is Annotated:
        arrived = _fit(produced, target)
        return None if arrived is None else Annotated[(arrived, *wanted.__metadata__)]
    if target in _ANYTHING:
        return produced
    if bare in _ANYTHING:
        return None
    if len(members(bare)) > 1:
        return _fit_all(produced, target)
    if get_origin(target) in _UNIONS:
        return _fit_any(produced, target)
    return _fit_one(produced, bare, target)


def _fit_all(produced: Any, target: Any) -> Any:  # noqa: ANN401 - annotations are any objects
    sources = members(produced)
    arrived = [_fit(member, target) for member in sources]
    if any(one is None for one in arrived):
        return None
    return produced if arrived == list(sources) else _union(arrived)


def _fit_any(produced: Any, target: Any) -> Any:  # noqa: ANN401 - annotations are any objects
    options = members(target)
    if any(plain(option) == plain(produced) for option in options):
        return produced
    arrived = (_fit(produced, option) for option in options)
    return next((one for one in arrived if one is not None), None)


def _fit_one(produced: Any, bare: Any, target: Any) -> Any:  # noqa: ANN401 - annotations are any objects
    if get_origin(bare) is Literal:
        return produced if _literal_fits(get_args(bare), target) else None
    supertype = getattr(bare, "__supertype__", None)  # a NewType is a subtype of what it wraps
    if supertype is not None:
        return produced if _fit(supertype, target) is not None else None
    if bare is int and target is float:
        return float
    if get_args(target) and get_origin(target) is not Literal:
        return _fit_generic(produced, bare, target)
    if _is_subclass(get_origin(bare) or bare, get_origin(target) or target):
        return produced
    return None


def _literal_fits(values: tuple[Any, ...], target: Any) -> bool:  # noqa: ANN401 - annotations are any objects
    if get_origin(target) is Literal:
        accepted = [(type(value), value) for value in get_args(target)]
        return all((type(value), value) in accepted for value in values)
    return all(_fit(type(value), target) is not None for value in values)


def _fit_generic(produced: Any, bare: Any, target: Any) -> Any:  # noqa: ANN401 - annotations are any objects
    origin = get_origin(bare)
    if origin is None:  # a plain class: perhaps `class Reviews(Page[Review])`
        bases = getattr(bare, "__orig_bases__", ())
        return produced if any(_fit(base, target) is not None for base in bases) else None
    if not _is_subclass(origin, get_origin(target)):
        return None
    source, wanted = get_args(bare), get_args(target)
    if origin is tuple:
        wanted = _tuple_targets(source, target)
    if wanted is None or len(source) != len(wanted):
        return None
    arrived = tuple(
        one if one is Ellipsis else _fit(one, other)
        for one, other in zip(source, wanted, strict=True)
    )
    if any(one is None for one in arrived):
        return None
    return produced if arrived == source else origin[arrived]


def _tuple_targets(source: tuple[Any, ...], target: Any) -> tuple[Any, ...] | None:  # noqa: ANN401 - annotations are any objects
    """What each argument of a tuple must fit; None where the lengths cannot match."""
    wanted = get_args(target)
    if get_origin(target) is tuple and Ellipsis not in wanted:
        return None if Ellipsis in source else wanted
    return (wanted[0],) * len(source)


def _is_subclass(one: object, other: object) -> bool:
    try:
        return isinstance(one, type) and isinstance(other, type) and issubclass(one, other)
    except TypeError:  # a protocol with data members, a TypedDict
        return False


def _union(options: list[Any]) -> Any:  # noqa: ANN401 - annotations are any objects
    return functools.reduce(operator.or_, options) if len(options) > 1 else options[0]
