"""The inputs of jobs as they are stored; what does not fit is refused before anything is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from headrace.errors import InputError, OutputError, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.model.codec import Codec
    from headrace.model.pipeline import Pipeline

MOST_BYTES_OF_A_CHARACTER: Final = 4


def encode_input(pipeline: Pipeline[Any, Any], value: object, limit: int) -> str:
    """The stored form of one input.

    Raises:
        InputError: It does not fit the pipeline's input type, or takes more than `limit` bytes.
    """
    return encode_value(pipeline.input, pipeline.name, value, limit)


def encode_value(codec: Codec[Any], name: str, value: object, limit: int) -> str:
    """The stored form of a value that comes from outside.

    Args:
        codec: Of its type.
        name: Of what it is given to, for the error.
        value: The value.
        limit: The most bytes that it may take.

    Raises:
        InputError: It does not fit the type, or takes more than `limit` bytes.
    """
    try:
        text = codec.encode(value)
    except OutputError as error:
        raise InputError(name, [Problem(error.path, error.reason)]) from error
    if len(text) * MOST_BYTES_OF_A_CHARACTER > limit and len(text.encode()) > limit:
        message = f"it takes {len(text.encode()):,} bytes; at most {limit:,} can be stored"
        raise InputError(name, [Problem("$", message)])
    return text


def encode_inputs(
    pipeline: Pipeline[Any, Any], values: Sequence[object], limit: int, *, first: int = 0
) -> list[str]:
    """The stored forms of many inputs.

    Args:
        pipeline: Whose input type they have.
        values: The inputs.
        limit: The most bytes that each may take.
        first: The place of the first one in the caller's list, for the error.

    Raises:
        InputError: One does not fit; its path begins with its place, as `$[17].name`.
    """
    encode = pipeline.input.encode
    try:
        texts = [encode(value) for value in values]
    except OutputError:
        _refuse_first(pipeline, values, limit, first)
        raise
    if max(map(len, texts), default=0) * MOST_BYTES_OF_A_CHARACTER > limit:
        _refuse_first(pipeline, values, limit, first)
    return texts


def _refuse_first(
    pipeline: Pipeline[Any, Any], values: Sequence[object], limit: int, first: int
) -> None:
    for place, value in enumerate(values, first):
        try:
            encode_input(pipeline, value, limit)
        except InputError as error:
            problems = [
                Problem(f"$[{place}]{problem.path[1:]}", problem.message)
                for problem in error.problems
            ]
            raise InputError(pipeline.name, problems) from error
