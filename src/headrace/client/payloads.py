"""From a payload in a body to the stored input of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from headrace.client.encoding import encode_input
from headrace.errors import CodecError, InputError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.model.pipeline import Pipeline


def encode_payload(pipeline: Pipeline[Any, Any], payload: object, limit: int) -> str:
    """The input that a payload means, in its stored form: defaults filled in, words normalised.

    Raises:
        InputError: It does not fit the pipeline's input type, has fields that nobody reads, or
            takes more than `limit` bytes.
    """
    given = orjson.dumps(payload).decode()
    try:
        value = pipeline.input.decode(given)
    except CodecError as error:
        raise InputError(pipeline.name, error.problems) from error
    text = encode_input(pipeline, value, limit)
    if text != given:
        problems = list(_unknown(payload, orjson.loads(text), "$"))
        if problems:
            raise InputError(pipeline.name, problems)
    return text


def _unknown(given: object, stored: object, path: str) -> Iterator[Problem]:
    """Fields that were given and are not in what is stored: nobody would ever see them."""
    if isinstance(given, dict) and isinstance(stored, dict):
        for name, value in given.items():
            place = f"{path}.{name}"
            if name not in stored:
                yield Problem(place, "there is no such field")
            else:
                yield from _unknown(value, stored[name], place)
    elif isinstance(given, list) and isinstance(stored, list) and len(given) == len(stored):
        for number, (part, kept) in enumerate(zip(given, stored, strict=True)):
            yield from _unknown(part, kept, f"{path}[{number}]")
