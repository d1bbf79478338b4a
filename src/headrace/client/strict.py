"""JSON as this API takes it: what has two readings, or none that can be stored, is refused."""

from __future__ import annotations

import json
import math
import re
from enum import StrEnum
from typing import Any, Final

DEEPEST: Final = 64
LONGEST_INTEGER: Final = 20
"""Digits and sign: what is longer is beyond 64 bits."""
SMALLEST: Final = -(2**63)
LARGEST: Final = 2**64 - 1


class Reason(StrEnum):
    """Why a text is refused; shown to the client, and listed in the documentation."""

    NOT_UTF8 = "the text is not UTF-8"
    BYTE_ORDER_MARK = "the text begins with a byte order mark"
    NOT_JSON = "the text is not JSON"
    TOO_DEEP = "objects and lists are nested more than 64 deep"
    DUPLICATE_KEY = "an object has the same key twice"
    NOT_FINITE = "a number is NaN, infinite, or too large"
    LONG_INTEGER = "an integer takes more than 64 bits; send it as text"
    NUL = "a string holds the character U+0000, which cannot be stored"
    LONE_SURROGATE = "a string holds half of a surrogate pair"


class NotStrictError(ValueError):
    """A body is no JSON that is taken."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


def load_strict(body: bytes | bytearray) -> Any:  # noqa: ANN401 - any JSON value
    """The value of a JSON text.

    Raises:
        NotStrictError: The text has a second reading (duplicate keys, numbers out of range), could
            not be stored (U+0000, half surrogates), or is no JSON in UTF-8 at all.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise NotStrictError(Reason.NOT_UTF8) from None
    if text.startswith("\ufeff"):
        raise NotStrictError(Reason.BYTE_ORDER_MARK)
    # Most bodies do not even have so many brackets: counting is two passes of memchr.
    if text.count("[") + text.count("{") > DEEPEST and _depth(text) > DEEPEST:
        raise NotStrictError(Reason.TOO_DEEP)
    try:
        value = _DECODER.decode(text)
    except NotStrictError:
        raise
    except (ValueError, RecursionError):
        raise NotStrictError(Reason.NOT_JSON) from None
    if "\\u" in text:  # a raw NUL is no JSON, a raw half surrogate no UTF-8
        _check_strings(value)
    return value


_STRING: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*"?', re.DOTALL)
_BRACKET: Final = re.compile(r"[\[\]{}]")


def _depth(text: str) -> int:
    depth = deepest = 0
    for bracket in _BRACKET.findall(_STRING.sub("", text)):
        if bracket in "[{":
            depth += 1
            deepest = max(deepest, depth)
        else:
            depth -= 1
    return deepest


def _check_strings(value: object) -> None:
    if isinstance(value, str):
        if "\x00" in value:
            raise NotStrictError(Reason.NUL)
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise NotStrictError(Reason.LONE_SURROGATE)
    elif isinstance(value, dict):
        for key, part in value.items():
            _check_strings(key)
            _check_strings(part)
    elif isinstance(value, list):
        for part in value:
            _check_strings(part)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise NotStrictError(Reason.DUPLICATE_KEY)
    return made


def _integer(digits: str) -> int:
    if len(digits) <= LONGEST_INTEGER:
        number = int(digits)
        if SMALLEST <= number <= LARGEST:
            return number
    raise NotStrictError(Reason.LONG_INTEGER)


def _float(digits: str) -> float:
    number = float(digits)
    if math.isfinite(number):
        return number
    raise NotStrictError(Reason.NOT_FINITE)


def _constant(_: str) -> None:
    raise NotStrictError(Reason.NOT_FINITE)


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant
)
