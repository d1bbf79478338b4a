"""What a submission may say besides its input, and what of that is accepted."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict

import orjson

from headrace.errors import OptionError, PresetNotFoundError
from headrace.model.facts import MAX_CONCURRENCY

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from headrace.model.context import JsonValue
    from headrace.model.pipeline import Pipeline

PRIORITIES: Final = {"low": 1, "normal": 5, "high": 9}
FURTHEST_DUE: Final = timedelta(days=365)
LONGEST_TEXT: Final = 200
LONGEST_KEY: Final = 500
"""Of an idempotency key: steps make theirs from the job, the step and the item."""
DEFAULT: Final = "default"


class SubmitOptions(TypedDict, total=False):
    """The keywords of `submit` and `submit_many`; every one may be left out."""

    priority: Literal["low", "normal", "high"] | int
    """`low` is 1, `normal` 5, `high` 9 of 0 to 9. A point is a head start of 60 s over other
    jobs of the tenant."""
    due: datetime | timedelta | None
    """When to start: a time with a zone, or a duration from now; at most 365 days ahead."""
    deadline: datetime | timedelta | None
    """When to give up: a time with a zone, or a duration from now."""
    tenant: str
    """The customer that the job belongs to."""
    owner: str
    """The user, inside the tenant, that the job belongs to."""
    preset: str | None
    """One of the pipeline's named sets of parameters."""
    parameters: Mapping[str, JsonValue] | None
    """Laid over the preset's."""
    metadata: Mapping[str, JsonValue] | None
    """Kept and shown with the job; the engine reads nothing in it."""
    correlation_id: str | None
    """Finds all that belongs to one request of yours."""
    parent: str | UUID | None
    """The id of the job on whose behalf this one runs."""
    actor: str | None
    """Who submits, for the job's history."""
    connection: object
    """Store the job in the transaction of this connection of yours; see `Client.submit`."""
    ordering_key: str | None
    """Jobs of a tenant with the same key run one at a time, in the order of their acceptance."""
    concurrency_key: str | None
    """Of a pipeline's jobs with the same key, no more run at once than its `key_concurrency`."""
    ring: bool
    """With `connection`: whether the transaction wakes workers when it commits; as a rule yes."""


@dataclass(slots=True, kw_only=True)
class Given:
    """The options as they were given, with defaults."""

    priority: Literal["low", "normal", "high"] | int = 5
    due: datetime | timedelta | None = None
    deadline: datetime | timedelta | None = None
    tenant: str = DEFAULT
    owner: str = DEFAULT
    preset: str | None = None
    parameters: Mapping[str, JsonValue] | None = None
    metadata: Mapping[str, JsonValue] | None = None
    correlation_id: str | None = None
    parent: str | UUID | None = None
    actor: str | None = None
    connection: object = None
    ordering_key: str | None = None
    concurrency_key: str | None = None
    ring: bool = True


def check_priority(priority: object) -> int:
    """The priority as a number.

    Raises:
        OptionError: It is none.
    """
    number = PRIORITIES.get(priority, priority) if isinstance(priority, str) else priority
    if type(number) is int and 0 <= number <= 9:  # noqa: PLR2004 - the range in words below
        return number
    raise OptionError("priority", f"{priority!r} is none; give low, normal, high or 0 to 9")


def ordering_key_of(pipeline: Pipeline[Any, Any], given: str | None, owner: str) -> str | None:
    """The ordering key of a job: the one that is given, else what its pipeline says."""
    return owner if given is None and pipeline.ordered_by is not None else given


def check_limit(most: object) -> None:
    """Refuse what is no number of jobs that may run at once."""
    if most is None or (type(most) is int and 1 <= most <= MAX_CONCURRENCY):
        return
    raise OptionError(
        "concurrency", f"{most!r} is no limit; give 1 to {MAX_CONCURRENCY:,}, or none at all"
    )


def check_text(option: str, text: object, most: int = LONGEST_TEXT) -> str:
    """A name or key that can be stored and found again.

    Raises:
        OptionError: It is no text, empty, too long, or holds characters that cannot be printed.
    """
    if isinstance(text, str) and 1 <= len(text) <= most and text.isprintable():
        return text
    raise OptionError(
        option,
        f"{str(text)[:40]!r} cannot be used; give a printable text of 1 to {most} characters",
    )


def check_preset(pipeline: Pipeline[Any, Any], preset: str) -> None:
    """Refuse a preset that the pipeline does not have."""
    if preset not in pipeline.presets:
        raise PresetNotFoundError(preset, tuple(pipeline.presets))


def check_time(option: str, given: object, now: datetime) -> datetime | None:
    """The time that is meant.

    Args:
        option: Its name, for the error.
        given: A time with a zone, or a duration from now.
        now: The engine's time.

    Raises:
        OptionError: It has no zone, or is further than 365 days ahead.
    """
    if given is None:
        return None
    if isinstance(given, timedelta):
        if given > FURTHEST_DUE:
            raise OptionError(option, f"{given.days} days ahead; at most {FURTHEST_DUE.days}")
        return now + given
    if not isinstance(given, datetime) or given.tzinfo is None:
        raise OptionError(option, f"{given!r} is no time with a zone and no timedelta")
    if given - now > FURTHEST_DUE:
        raise OptionError(
            option, f"{given.isoformat()} is more than {FURTHEST_DUE.days} days ahead"
        )
    return given


def _encode_at_once(given: dict[str, JsonValue]) -> bytes | None:
    """What nearly all mappings are stored as; None: look closer, and tell what is wrong."""
    try:
        text = orjson.dumps(given)
    except orjson.JSONEncodeError:
        return None
    return text if orjson.loads(text) == given else None


def encode_mapping(option: str, values: Mapping[str, JsonValue], limit: int) -> str:
    """Parameters or metadata as JSON text.

    Raises:
        OptionError: Not a mapping of JSON values with text keys, or larger than `limit` bytes.
    """
    given = dict(values)
    at_once = _encode_at_once(given)
    if at_once is not None and len(at_once) <= limit:
        return at_once.decode()
    try:
        text = json.dumps(given, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        size = len(text.encode())
    except (TypeError, ValueError) as error:
        raise OptionError(option, f"it has no form in JSON: {error}") from error
    if json.loads(text) != given:
        raise OptionError(option, "it would come back changed; use lists, and texts as keys")
    if size > limit:
        raise OptionError(option, f"it takes {size:,} bytes; at most {limit:,} can be stored")
    return text
