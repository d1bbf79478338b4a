"""Where two values differ, and where a value holds something: for errors, not for the hot path."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MISSING: Final = object()
_CLIP: Final = 60


def first_difference(sent: object, back: object, path: str = "$") -> tuple[str, str] | None:
    """The first place in which two values differ, and how; None if they are the same.

    Objects are compared by their fields, so types whose `==` compares identity can be stored too.
    """
    if _is_nan(sent):
        return path, "nan has no form in JSON"
    if type(sent) is not type(back) and not _equal(sent, back):
        return path, f"{_show(sent)} comes back as {_show(back)}"
    ours, theirs = children(sent), children(back)
    if ours is None or theirs is None:
        return None if _equal(sent, back) else (path, _leaf_text(sent, back))
    for name in (*ours, *(key for key in theirs if key not in ours)):
        one, other = ours.get(name, _MISSING), theirs.get(name, _MISSING)
        if one is _MISSING or other is _MISSING:
            return path + name, "is lost" if other is _MISSING else "is added"
        found = first_difference(one, other, path + name)
        if found is not None:
            return found
    return None


def first_place(value: object, holds: Callable[[object], bool]) -> str | None:
    """A place in a value for which `holds` is true; None if there is none. Circles are fine."""
    waiting, seen = [("$", value)], set()
    while waiting:
        path, part = waiting.pop()
        if holds(part):
            return path
        if id(part) not in seen:
            seen.add(id(part))
            inside = children(part) or {}
            waiting += [(path + name, child) for name, child in inside.items()]
    return None


def children(value: object) -> dict[str, object] | None:
    """What a value is made of, by path; None for a value without parts."""
    if isinstance(value, str | bytes | bytearray):
        return None
    if isinstance(value, Mapping):
        return {_key_path(key): item for key, item in value.items()}
    if isinstance(value, Sequence):
        return {f"[{index}]": item for index, item in enumerate(value)}
    if isinstance(value, AbstractSet | type):
        return None
    names = list(_field_names(value))
    return {f".{name}": getattr(value, name, None) for name in names} if names else None


def _field_names(value: object) -> Iterator[str]:
    if dataclasses.is_dataclass(value):
        yield from (field.name for field in dataclasses.fields(value))
    elif hasattr(value, "__struct_fields__"):
        yield from value.__struct_fields__
    elif hasattr(value, "__pydantic_fields__"):
        kind: Any = type(value)
        yield from kind.__pydantic_fields__
        yield from getattr(value, "__pydantic_extra__", None) or ()
        yield from getattr(value, "__pydantic_private__", None) or ()


def _key_path(key: object) -> str:
    return f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{_clip(key)}]"


def _leaf_text(sent: object, back: object) -> str:
    if isinstance(sent, float) and math.isinf(sent):
        return "infinity has no form in JSON"
    if _clip(sent) == _clip(back):
        return f"the {type(sent).__name__} does not come back equal"
    return f"{_clip(sent)} comes back as {_clip(back)}"


def _show(value: object) -> str:
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return f"{_clip(value)} ({type(value).__name__})"
    return f"a {type(value).__name__}"


def _clip(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # an int of more than 4,300 digits
        text = f"a large {type(value).__name__}"
    return text if len(text) <= _CLIP else f"{text[: _CLIP - 3]}..."


def _equal(one: object, other: object) -> bool:
    try:
        return bool(one == other)
    except Exception:  # noqa: BLE001 - a foreign `==` may raise anything; then it is not equal
        return False


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)
