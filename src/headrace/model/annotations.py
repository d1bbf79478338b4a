"""What annotations say: their text, whether they are vague, and whether one fits another."""

from __future__ import annotations

import collections.abc
import functools
import operator
import types
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Final,
    Literal,
    TypeAlias,
    TypeVar,
    Union,
    get_args,
    get_origin,
)

from typing_extensions import TypeAliasType

if TYPE_CHECKING:
    from collections.abc import Iterator

Annotation: TypeAlias = Any
"""Whatever may stand in an annotation: a class, a generic alias, a union, None, ..."""

NONE: Final = type(None)
UNIONS: Final = frozenset({Union, types.UnionType})
ANYTHING: Final = (Any, object)
_BARE: Final = frozenset(
    {
        *(list, dict, tuple, set, frozenset),
        *(
            getattr(collections.abc, name)
            for name in ("Collection", "Sequence", "MutableSequence", "Set", "MutableSet")
        ),
        *(getattr(collections.abc, name) for name in ("Mapping", "MutableMapping", "Iterable")),
    }
)


def origin_of(annotation: object) -> Annotation:
    """What a generic alias is made from (`list` for `list[int]`); None for any other type."""
    return get_origin(annotation)


def type_text(annotation: object) -> str:
    """An annotation as it is written in code: `list[Review]`, `Proposal | None`."""
    if annotation is None or annotation is NONE:
        return "None"
    origin, args = origin_of(annotation), get_args(annotation)
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, args))}]"
    if origin is Annotated:
        return type_text(args[0])
    if origin in UNIONS:
        return " | ".join(map(type_text, args))
    if origin is not None and args:
        return f"{type_text(origin)}[{', '.join(map(_argument_text, args))}]"
    name = getattr(annotation, "__qualname__", None) or getattr(annotation, "__name__", None)
    return str(name).rpartition("<locals>.")[2] if name else repr(annotation)


def _argument_text(argument: object) -> str:
    if argument is Ellipsis:
        return "..."
    if isinstance(argument, list):
        return f"[{', '.join(map(type_text, argument))}]"
    return type_text(argument)


def plain(annotation: Annotation) -> Annotation:
    """The type itself: without `Annotated`, aliases resolved, None as its type."""
    while True:
        if origin_of(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif isinstance(annotation, TypeAliasType):
            annotation = annotation.__value__
        elif annotation is None:
            return NONE
        else:
            return annotation


def members(annotation: object) -> tuple[Annotation, ...]:
    """The members of a union, nested ones too; any other type is its own only member."""
    bare = plain(annotation)
    if origin_of(bare) not in UNIONS:
        return (annotation if annotation is not None else NONE,)
    return tuple(inner for member in get_args(bare) for inner in members(member))


def accepts_none(annotation: object) -> bool:
    """Whether None is a value of the type."""
    return any(
        plain(member) is NONE
        or plain(member) in ANYTHING
        or (origin_of(plain(member)) is Literal and None in get_args(plain(member)))
        for member in members(annotation)
    )


def without_none(annotation: object) -> Annotation:
    """The union without its None; the annotation itself where there is none."""
    kept = [member for member in members(annotation) if plain(member) is not NONE]
    return union_of(kept) if kept and len(kept) < len(members(annotation)) else annotation


def or_none(annotation: object) -> str:
    """The text of the annotation with None added to it."""
    text = type_text(annotation)
    return text if accepts_none(annotation) else f"{text} | None"


def parts(annotation: object) -> Iterator[Annotation]:
    """The annotation and everything that it is made of, outermost first."""
    waiting = [annotation]
    aliases: set[int] = set()  # an alias may hold itself
    while waiting:
        part = waiting.pop(0)
        yield part
        if isinstance(part, TypeAliasType):
            waiting += [] if id(part) in aliases else [part.__value__]
            aliases.add(id(part))
        elif isinstance(part, list):
            waiting += part
        elif origin_of(part) is Annotated:
            waiting.append(get_args(part)[0])
        elif origin_of(part) is not Literal:
            waiting += get_args(part)


def vagueness(annotation: object) -> str | None:
    """Why a value could not be stored and read back by this annotation; None if it can.

    `Any` and `object` are vague as a whole or as a member of a union; inside a container
    (`dict[str, Any]`) they are plain JSON values, and the check of each output covers them.
    """
    for member in members(annotation):
        if plain(member) in ANYTHING:
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
    if origin_of(part) is not None:  # `typing.List` without arguments
        return part != tuple[()] and origin_of(part) in _BARE
    if isinstance(part, type) and part in _BARE:
        return True
    pydantic_generic = getattr(part, "__pydantic_generic_metadata__", None)
    if pydantic_generic is not None:
        return bool(pydantic_generic["parameters"])
    return isinstance(part, type) and bool(getattr(part, "__parameters__", ()))


def union_of(options: list[Annotation]) -> Annotation:
    """The union of some types; the type itself where there is one."""
    return functools.reduce(operator.or_, options) if len(options) > 1 else options[0]
