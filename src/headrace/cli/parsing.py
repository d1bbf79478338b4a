"""Reading what is typed: inputs, times, parameters."""

from __future__ import annotations

import re
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.model.pipeline import Pipeline

UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
DURATION: Final = re.compile(r"\+?(\d+(?:\.\d+)?)([smhd]?)")


def read_input(pipeline: Pipeline[Any, Any], given: str) -> Any:  # noqa: ANN401 - a user's value
    """The input that is meant: JSON, the JSON in `@file`, or that on the standard input (`-`).

    Raises:
        OptionError: The file cannot be read.
        InputError: It does not fit the pipeline.
    """
    from headrace.errors import CodecError, InputError

    try:
        return pipeline.input.decode(_text(given))
    except CodecError as error:
        raise InputError(pipeline.name, error.problems) from error


def read_json(pipeline: str, given: str) -> Any:  # noqa: ANN401 - JSON
    """The same where only the name of the pipeline is known: JSON, of which nothing is checked.

    Raises:
        OptionError: The file cannot be read.
        InputError: It is no JSON.
    """
    import json

    from headrace.errors import InputError, Problem

    try:
        return json.loads(_text(given))
    except ValueError as error:
        raise InputError(pipeline, [Problem("$", f"it is no JSON: {error}")]) from error


def _text(given: str) -> str:
    if given == "-":
        return sys.stdin.read()
    if not given.startswith("@"):
        return given
    try:
        return Path(given[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise OptionError("--input", f"{given[1:]!r} cannot be read: {reason}") from error


def read_time(option: str, given: str | None) -> datetime | timedelta | None:
    """A time with a zone (ISO 8601), or a duration from now: `90`, `90s`, `10m`, `2h`, `1d`.

    Raises:
        OptionError: It is neither.
    """
    if given is None:
        return None
    match = DURATION.fullmatch(given)
    if match is not None:
        return timedelta(seconds=float(match[1]) * UNITS[match[2]])
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise OptionError(
            option, f"{given!r} is no time; give 90s, 10m, 2h, 1d or 2026-01-31T08:00:00Z"
        )
    return moment


def read_seconds(option: str, given: str | None) -> float | None:
    """A duration in seconds, as `90`, `90s`, `10m`, `2h`, `1d`.

    Raises:
        OptionError: It is none.
    """
    moment = read_time(option, given)
    if isinstance(moment, datetime):
        raise OptionError(option, f"{given!r} is no duration; give 90s, 10m, 2h or 1d")
    return None if moment is None else moment.total_seconds()


def read_since(option: str, given: str | None) -> datetime | None:
    """A time with a zone, or a duration back from now.

    Raises:
        OptionError: It is neither.
    """
    from datetime import UTC

    moment = read_time(option, given)
    return datetime.now(UTC) - moment if isinstance(moment, timedelta) else moment


def read_parameters(option: str, given: Sequence[str] | None) -> dict[str, Any] | None:
    """Parameters given as `key=value`; a value is JSON, or text where it is none.

    Raises:
        OptionError: One has no `=`.
    """
    import json

    if not given:
        return None
    parameters = {}
    for pair in given:
        key, equals, text = pair.partition("=")
        if not (equals and key):
            raise OptionError(option, f"{pair!r} is not key=value")
        try:
            parameters[key] = json.loads(text)
        except ValueError:
            parameters[key] = text
    return parameters


def read_priority(given: str) -> Any:  # noqa: ANN401 - a word or a number, checked by the client
    """`low`, `normal`, `high`, or 0 to 9."""
    return int(given) if given.isdecimal() else given


def read_states(given: Sequence[str] | None) -> Sequence[str] | None:
    """States of jobs.

    Raises:
        OptionError: One is none.
    """
    from headrace.model.job import JobState

    known = [str(state) for state in JobState]
    for state in given or ():
        if state not in known:
            raise OptionError("--state", f"{state!r} is none; give one of {', '.join(known)}")
    return given or None
