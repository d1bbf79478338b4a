"""What a person answers, as a value of the type that is asked for."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Final

from headrace.client.strict import NotStrictError
from headrace.errors import CodecError, Problem
from headrace.model.codec import Codec
from headrace.web.forms.field import Field, Kind, nearest
from headrace.web.forms.reading import Answer, Posted

_FOR_PEOPLE: Final = {
    "Value error, ": "",
    "Assertion failed, ": "",
    "Input should": "This should",
    "String should": "The text should",
}
"""How messages of pydantic begin, and what a person reads in its place."""


def read_answer(form: Field, posted: Posted, codec: Codec[Any]) -> tuple[str, dict[str, str]]:
    """The JSON text of what a form says; where something is wrong, what, by the name of its field.

    Args:
        form: What was asked for.
        posted: What was sent.
        codec: Of the type.
    """
    text, problems = _read(form, posted, codec)
    moments = {one.name for one in form.walk() if one.kind is Kind.MOMENT} & problems.keys()
    if not moments:
        return text, problems
    # Moments are said in UTC; those whose type takes none with a zone get none.
    text, others = _read(form, posted, codec, naive=moments)
    return text, {name: problems.get(name, said) for name, said in others.items()}


def _read(
    form: Field, posted: Posted, codec: Codec[Any], *, naive: Collection[str] = ()
) -> tuple[str, dict[str, str]]:
    answer = Answer(form, posted, naive=naive)
    if answer.problems:
        return "", answer.problems
    try:
        text = answer.text().decode()
        codec.decode(text)
    except NotStrictError as error:
        return "", {form.name: f"This is not taken: {error.reason}."}
    except CodecError as error:
        return "", places_of(form, error.problems)
    return text, {}


def places_of(form: Field, problems: Iterable[Problem]) -> dict[str, str]:
    """What codecs find wrong, in words for a person and by the name of the nearest field."""
    return {nearest(form, path).name: _said(message) for path, message in problems}


def _said(message: str) -> str:
    for start, plainly in _FOR_PEOPLE.items():
        if message.startswith(start):
            message = plainly + message.removeprefix(start)
    return message if message.endswith((".", "!", "?")) else f"{message}."
