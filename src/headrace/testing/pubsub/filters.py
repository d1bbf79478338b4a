"""The language of subscription filters: which messages a subscription keeps, by their attributes.

attributes:kind                       has the attribute
attributes.kind = "job"               has it with this value
attributes.kind != "job"              has it with another value, or has it not
hasPrefix(attributes.kind, "jo")      its value begins so
NOT x, -x, x AND y, x OR y, (x)       AND and OR of one level are not mixed
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

from headrace.testing.pubsub.refusal import RefusedError, invalid

Filter: TypeAlias = Callable[[Mapping[str, str]], bool]

MOST_BYTES: Final = 256
_TOKEN: Final = re.compile(r'\s*(?:"(?:[^"\\]|\\.)*"|!=|[=:.(),-]|\w[\w-]*)')
_SIGNS_OF_KEYS: Final = frozenset("=:.(),-") | {"!=", "AND", "OR", "NOT"}


def parse(text: str) -> Filter | None:
    """The filter that `text` spells; None when it is empty and keeps all.

    Raises:
        RefusedError: It is no filter.
    """
    if not text.strip():
        return None
    if len(text.encode()) > MOST_BYTES:
        raise invalid(f"A filter has at most {MOST_BYTES} bytes, not {len(text.encode())}.")
    return _Parser(text).parse()


def _tokens(text: str) -> Iterator[str]:
    position = 0
    stripped = text.rstrip()
    while position < len(stripped):
        match = _TOKEN.match(stripped, position)
        if match is None:
            raise _wrong(text, f"unexpected {stripped[position]!r}")
        position = match.end()
        yield match[0].strip()


def _wrong(text: str, problem: str) -> RefusedError:
    return invalid(f"The filter {text!r} is not valid: {problem}.")


class _Parser:
    """By recursive descent, a method for each rule."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = [*_tokens(text), ""]
        self._at = 0

    def parse(self) -> Filter:
        found = self._expression()
        if self._tokens[self._at]:
            raise _wrong(self._text, f"unexpected {self._tokens[self._at]!r}")
        return found

    def _expression(self) -> Filter:
        parts = [self._factor()]
        joint = self._tokens[self._at]
        while self._tokens[self._at] in ("AND", "OR"):
            if self._next() != joint:
                raise _wrong(self._text, "AND and OR need parentheses")
            parts.append(self._factor())
        every = all if joint == "AND" else any
        if len(parts) == 1:
            return parts[0]
        return lambda attributes: every(part(attributes) for part in parts)

    def _factor(self) -> Filter:
        word = self._next()
        if word in ("NOT", "-"):
            negated = self._factor()
            return lambda attributes: not negated(attributes)
        if word == "(":
            inner = self._expression()
            self._expect(")")
            return inner
        if word == "hasPrefix":
            return self._prefix()
        if word == "attributes":
            return self._comparison()
        raise _wrong(self._text, f"unexpected {word!r}")

    def _prefix(self) -> Filter:
        for expected in ("(", "attributes", "."):
            self._expect(expected)
        key = self._key()
        self._expect(",")
        value = self._value()
        self._expect(")")
        return lambda attributes: attributes.get(key, "").startswith(value) and key in attributes

    def _comparison(self) -> Filter:
        sign = self._next()
        key = self._key()
        if sign == ":":
            return lambda attributes: key in attributes
        if sign != ".":
            raise _wrong(self._text, f"unexpected {sign!r}")
        relation = self._next()
        if relation not in ("=", "!="):
            raise _wrong(self._text, f"expected = or != after attributes.{key}")
        value = self._value()
        if relation == "=":
            return lambda attributes: attributes.get(key) == value
        return lambda attributes: attributes.get(key) != value

    def _key(self) -> str:
        word = self._next()
        if not word or word in _SIGNS_OF_KEYS:
            raise _wrong(self._text, "expected the name of an attribute")
        return self._unquote(word) if word.startswith('"') else word

    def _value(self) -> str:
        word = self._next()
        if not word.startswith('"'):
            raise _wrong(self._text, "expected a value in double quotes")
        return self._unquote(word)

    def _unquote(self, word: str) -> str:
        try:
            return str(json.loads(word))
        except ValueError:
            raise _wrong(self._text, f"{word} is no string") from None

    def _expect(self, word: str) -> None:
        if self._next() != word:
            raise _wrong(self._text, f"expected {word!r}")

    def _next(self) -> str:
        word = self._tokens[self._at]
        if word:
            self._at += 1
        return word
