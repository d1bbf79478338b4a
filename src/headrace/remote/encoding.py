"""Inputs as they are sent, results as they are read."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict
from uuid import UUID

from headrace.errors import InputError, JobNotFoundError, OptionError, OutputError, Problem
from headrace.model.codec import codec_for
from headrace.model.pipeline import Pipeline

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.model.codec import Codec
    from headrace.model.context import JsonValue

LONGEST_KEY: Final = 255
PRIORITIES: Final = ("low", "normal", "high")


class RemoteSubmitOptions(TypedDict, total=False):
    """The keywords of `RemoteClient.submit`; every one may be left out.

    Tenant and owner are those of the token.
    """

    priority: Literal["low", "normal", "high"] | int
    """`low` is 1, `normal` 5, `high` 9 of 0 to 9."""
    due: datetime | timedelta | None
    """When to start: a time with a zone, or a duration from now by this machine's clock."""
    deadline: datetime | timedelta | None
    """When to give up if it has not started."""
    preset: str | None
    """One of the pipeline's named sets of parameters."""
    parameters: Mapping[str, JsonValue] | None
    """Laid over the preset's."""
    metadata: Mapping[str, JsonValue] | None
    """Kept and shown with the job; the engine reads nothing in it."""
    correlation_id: str | None
    """Finds all that belongs to one request of yours."""
    parent: str | UUID | None
    """The id of a job of yours on whose behalf this one runs."""
    ordering_key: str | None
    """Jobs of the tenant with the same key run one at a time, in the order of their acceptance."""
    concurrency_key: str | None
    """Of a pipeline's jobs with the same key, no more run at once than its `key_concurrency`."""


OPTIONS: Final = {
    "priority": "priority",
    "due": "due_at",
    "deadline": "deadline",
    "preset": "preset",
    "parameters": "parameters",
    "metadata": "metadata",
    "correlation_id": "correlation_id",
    "parent": "parent_job_id",
    "ordering_key": "ordering_key",
    "concurrency_key": "concurrency_key",
}
"""The fields of the API that they are."""


def job_id(job: str | UUID) -> str:
    """An id of a job as the API takes it.

    Raises:
        JobNotFoundError: It is none.
    """
    try:
        return str(UUID(str(job)))
    except ValueError:
        raise JobNotFoundError(job) from None


def checked_key(key: str) -> str:
    """An idempotency key that fits into a header.

    Raises:
        OptionError: It does not.
    """
    if 1 <= len(key) <= LONGEST_KEY and key.isascii() and key.isprintable():
        return key
    raise OptionError(
        "idempotency_key", f"{key[:40]!r} cannot be used; give 1 to 255 printable ASCII characters"
    )


def encode_job(
    pipeline: Pipeline[Any, Any] | str, value: object, options: RemoteSubmitOptions
) -> bytes:
    """The body of a submission; the same each time it is sent.

    Raises:
        InputError: The input does not fit the pipeline, or is no JSON.
        OptionError: An option is unknown, or cannot be sent.
    """
    name = pipeline if isinstance(pipeline, str) else pipeline.name
    body = {"pipeline": name}
    for option, given in options.items():
        if option not in OPTIONS:
            raise OptionError(option, "there is no such option of a remote API")
        if given is not None:
            body[OPTIONS[option]] = _plain(option, given)
    try:
        head = json.dumps(body, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise OptionError("metadata or parameters", f"no form in JSON: {error}") from error
    return f'{head[:-1]}, "payload": {_encode_input(pipeline, value)}}}'.encode()


def _encode_input(pipeline: Pipeline[Any, Any] | str, value: object) -> str:
    if isinstance(pipeline, str):
        try:
            return json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            problem = Problem("$", f"{error}; give JSON values, or the Pipeline itself")
            raise InputError(pipeline, [problem]) from error
    try:
        return pipeline.input.encode(value)
    except OutputError as error:
        raise InputError(pipeline.name, [Problem(error.path, error.reason)]) from error


def _plain(option: str, given: object) -> Any:  # noqa: ANN401 - JSON
    if option == "priority":
        return _checked_priority(given)
    match given:
        case timedelta():
            return (datetime.now(UTC) + given).isoformat()
        case datetime(tzinfo=None):
            raise OptionError(option, f"{given!r} is no time with a zone and no timedelta")
        case datetime():
            return given.isoformat()
        case UUID():
            return str(given)
    return given


def _checked_priority(given: object) -> object:
    if given in PRIORITIES or (type(given) is int and given in range(10)):
        return given
    raise OptionError("priority", f"{given!r} is none; give low, normal, high or 0 to 9")


def codec_of(output: object) -> Codec[Any] | None:
    """What reads a result: of a pipeline, of a type; None where it is given as it comes.

    Raises:
        InvalidError: The type has no form in JSON.
    """
    if output is None:
        return None
    if isinstance(output, Pipeline):
        # A client may know the types of a pipeline without its steps.
        return output.result if output.steps else output.output
    return codec_for(output)


def decode_result(codec: Codec[Any] | None, value: Any) -> Any:  # noqa: ANN401 - a user's value
    """A result as the value that it is.

    Raises:
        CodecError: It is no value of the type.
    """
    return value if codec is None else codec.decode(json.dumps(value))
