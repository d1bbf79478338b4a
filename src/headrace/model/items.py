"""The items of a fan-out: their keys and their stored values."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import ItemsError, OutputError
from headrace.model.codec import Codec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_ITEMS: Final = 10_000
MAX_KEY_LENGTH: Final = 200

Items = tuple[tuple[str, str], ...]
"""Keys with encoded values, in order."""

_BLANK: Final = re.compile(r"[ \t\n\r]*")
_scan = json.JSONDecoder().raw_decode


@dataclass(frozen=True, slots=True)
class EachBinding:
    """How a step that runs once per item gets its items.

    Attributes:
        parameter: The parameter that takes the item.
        codec: Of one item.
        source_step: The step whose output is the list; None for a fixed sequence.
        items: Of a fixed sequence, with their keys.
        key_of: The `key=` of `Each`, for lists that a step returned.
        at_least: How many items have to succeed; None for all.
    """

    parameter: str
    codec: Codec[Any]
    source_step: str | None = None
    items: Items = ()
    key_of: Callable[[Any], str] | None = None
    at_least: int | None = None

    def needed(self, items: int) -> int:
        """How many of so many items have to succeed."""
        return items if self.at_least is None else self.at_least

    def plan(self, encoded_list: str | None, *, limit: int = MAX_ITEMS) -> list[tuple[str, str]]:
        """The items of one job, each as its key and its stored value, in order.

        Args:
            encoded_list: The stored output of `source_step`; None for a fixed sequence.
            limit: The most items that are accepted.

        Raises:
            ItemsError: Too many items, too few, two of one key, or a key that cannot be used.
            CodecError: A stored item does not fit, where `key_of` needs to see it.
        """
        if encoded_list is None:
            planned = list(self.items)
        else:
            values = split_list(encoded_list)
            planned = list(zip(self._keys_of(values), values, strict=True))
            refuse_duplicates(self.parameter, (key for key, _ in planned))
        if len(planned) > limit:
            raise ItemsError(self.parameter, f"{len(planned):,} items; at most {limit:,} can run")
        if len(planned) < self.needed(len(planned)):
            raise ItemsError(
                self.parameter,
                f"{len(planned):,} items; at least {self.at_least:,} have to succeed",
            )
        return planned

    def _keys_of(self, values: list[str]) -> list[str]:
        if self.key_of is None:
            return [str(index) for index in range(len(values))]
        decode, key_of = self.codec.decode, self.key_of
        return [checked_key(self.parameter, key_of(decode(value))) for value in values]


def fixed_items(
    parameter: str,
    sequence: Iterable[object],
    codec: Codec[Any],
    key_of: Callable[[Any], str] | None,
) -> Items:
    """The items of a sequence that is known at definition, keyed by `key_of` or by content.

    Raises:
        ItemsError: An element that does not fit the parameter's type, two items of one key, a key
            that cannot be used, or too many items.
    """
    items = []
    for index, element in enumerate(sequence):
        try:
            encoded = codec.encode(element)
        except OutputError as error:
            raise ItemsError(parameter, f"element {index} {error}") from error
        key = content_key(encoded) if key_of is None else checked_key(parameter, key_of(element))
        items.append((key, encoded))
    refuse_duplicates(parameter, (key for key, _ in items))
    if len(items) > MAX_ITEMS:
        raise ItemsError(parameter, f"{len(items):,} items; at most {MAX_ITEMS:,} can run")
    return tuple(items)


def content_key(encoded: str) -> str:
    """The key of an item that is known by what it is: 16 hexadecimal digits."""
    return hashlib.sha256(encoded.encode()).hexdigest()[:16]


def checked_key(parameter: str, key: object) -> str:
    """The key, if it can be stored and shown.

    Raises:
        ItemsError: It is no text, empty, too long, or holds characters that cannot be printed.
    """
    if isinstance(key, str) and 1 <= len(key) <= MAX_KEY_LENGTH and key.isprintable():
        return str(key)
    raise ItemsError(
        parameter,
        f"the key {str(key)[:40]!r} ({type(key).__name__}) cannot be used; "
        f"key= returns a printable text of 1 to {MAX_KEY_LENGTH} characters",
    )


def refuse_duplicates(parameter: str, keys: Iterable[str]) -> None:
    """Check that every key is there once.

    Raises:
        ItemsError: Two keys are the same.
    """
    seen: dict[str, int] = {}
    for index, key in enumerate(keys):
        if key in seen:
            raise ItemsError(
                parameter, f"elements {seen[key]} and {index} have the same key {key!r}"
            )
        seen[key] = index


def split_list(text: str) -> list[str]:
    """The elements of a JSON list, each as the very text that is stored."""
    return list(_elements(text))


def _elements(text: str) -> Iterator[str]:
    place = _skip_blank(text, 0)
    if text[place : place + 1] != "[":
        raise ValueError("not a JSON list")
    place = _skip_blank(text, place + 1)
    while text[place] != "]":
        _, end = _scan(text, place)
        yield text[place:end]
        place = _skip_blank(text, end)
        if text[place] == ",":
            place = _skip_blank(text, place + 1)


def _skip_blank(text: str, place: int) -> int:
    if text[place : place + 1] not in {" ", "\t", "\n", "\r"}:  # what we store has none
        return place
    match = _BLANK.match(text, place)
    return place if match is None else match.end()
