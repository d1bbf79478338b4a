"""What can be wrong with a language model's answer."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from enum import StrEnum
from typing import Final

from headrace.testing.fake_server import Refusal, refusal

LARGE: Final = 10_000_000
"""Characters of each sentence of `ModelFault.LARGE`."""
SHOWN_SECRET: Final = "sk-proj-" + "Ab1" * 16
HOSTILE: Final = (
    "<script>alert(1)</script> \x1b[31mred\x1b[0m \x00 =cmd|'/c calc'!A1 "
    f"'; drop table jobs; -- {{{{7*7}}}} {SHOWN_SECRET}"
)
"""What `ModelFault.HOSTILE` puts in place of each sentence."""


class ModelFault(StrEnum):
    """What is wrong with an answer, beside what `Fault` does to any; ask by `fail_next`."""

    NOT_JSON = "not_json"
    """Text that is no JSON."""
    PROSE = "prose"
    """Good JSON with sentences around it."""
    CUT_OFF = "cut_off"
    """Half of the answer, because the limit of tokens is reached."""
    FILTERED = "filtered"
    """Half of the answer, because a filter stopped it."""
    WRONG_TYPES = "wrong_types"
    """Each member is an object."""
    OUT_OF_RANGE = "out_of_range"
    """Each number is 1e9, each choice is one that was not given, each text is empty."""
    REFUSAL = "refusal"
    """The model says that it will not answer."""
    EMPTY = "empty"
    """No text at all."""
    HOSTILE = "hostile"
    """A good answer whose sentences are full of scripts, terminal codes, formulas and a key."""
    LARGE = "large"
    """A good answer each of whose sentences has 10 MB."""
    FAILED = "failed"
    """Status 200, some of the answer, then an error: as an event in a stream."""
    BROKEN_STREAM = "broken_stream"
    """Half of the answer, then an orderly end of the connection that says nothing of an end."""
    NO_MODEL = "no_model"
    """Status 404: there is no such model."""
    UNAUTHORIZED = "unauthorized"
    """Status 401."""
    FORBIDDEN = "forbidden"
    """Status 403."""
    BAD_REQUEST = "bad_request"
    """Status 400."""
    REDIRECT = "redirect"
    """Status 307, to the same path of a server that is not there."""
    OVERLOADED = "overloaded"
    """Status 529."""
    BUSY_UNTIL = "busy_until"
    """Status 429; Retry-After is a date, 30 seconds from now."""
    BUSY_FOR_DAYS = "busy_for_days"
    """Status 429; Retry-After is 9,999,999 seconds."""
    BUSY_SILENTLY = "busy_silently"
    """Status 429 without Retry-After."""


_TEXTS: Final[dict[StrEnum | None, str]] = {
    ModelFault.NOT_JSON: "I would approve of it {without: quotes",
    ModelFault.EMPTY: "",
}
_HALVES: Final = (ModelFault.CUT_OFF, ModelFault.FILTERED, ModelFault.BROKEN_STREAM)
_REFUSALS: Final = {
    ModelFault.NO_MODEL: refusal(404, "The model does not exist", "model_not_found"),
    ModelFault.UNAUTHORIZED: refusal(401, "The key has expired", "invalid_api_key"),
    ModelFault.FORBIDDEN: refusal(403, "No access to this model", "insufficient_permissions"),
    ModelFault.BAD_REQUEST: refusal(400, "Something is wrong", "invalid_request_error"),
    ModelFault.REDIRECT: refusal(
        307, "It is elsewhere", "moved", location="http://127.0.0.1:9/v1/responses"
    ),
    ModelFault.OVERLOADED: refusal(529, "Overloaded", "overloaded_error"),
    ModelFault.BUSY_FOR_DAYS: refusal(
        429, "Rate limit reached", "rate_limit_exceeded", retry_after="9999999"
    ),
    ModelFault.BUSY_SILENTLY: refusal(429, "Rate limit reached", "rate_limit_exceeded"),
}


def refusal_of(fault: StrEnum | None) -> Refusal | None:
    """The error with which a request is answered; None where it is answered otherwise."""
    if fault is ModelFault.BUSY_UNTIL:
        then = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
        return refusal(429, "Rate limit reached", "rate_limit_exceeded", retry_after=then)
    return _REFUSALS.get(fault) if isinstance(fault, ModelFault) else None


def spoilt(value: object, fault: StrEnum | None) -> str:
    """An answer as the model writes it, with what is wrong with it."""
    if fault in _TEXTS:
        return _TEXTS[fault]
    text = json.dumps(_changed(value, fault))
    if fault is ModelFault.PROSE:
        return f"Here is the JSON:\n```json\n{text}\n```\nI hope that it helps."
    return text[: len(text) // 2] if fault in _HALVES else text


def _changed(value: object, fault: StrEnum | None) -> object:
    match fault:
        case ModelFault.WRONG_TYPES if isinstance(value, dict):
            return {name: {"of": "another type"} for name in value}
        case ModelFault.OUT_OF_RANGE:
            return _each(value, text="", number=1e9, every=True)
        case ModelFault.HOSTILE:
            return _each(value, text=HOSTILE)
        case ModelFault.LARGE:
            return _each(value, text=("large " * (LARGE // 6 + 1))[:LARGE])
        case _:
            return value


def _each(value: object, *, text: str, number: float | None = None, every: bool = False) -> object:
    """The value with other texts, and other numbers where one is given.

    A text of one word may be a choice: it stays, unless `every` one is meant.
    """
    match value:
        case dict() | list():
            names = value if isinstance(value, dict) else range(len(value))
            parts = {
                name: _each(value[name], text=text, number=number, every=every) for name in names
            }
            return parts if isinstance(value, dict) else list(parts.values())
        case str() if every or " " in value:
            return text
        case float() if number is not None:
            return number
        case _:
            return value
