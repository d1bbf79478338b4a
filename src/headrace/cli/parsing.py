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
    from uuid import UUID

    from headrace.model.pipeline import Pipeline

UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
PATH: Final = re.compile(r"\S+\.\w{1,5}|\S*/\S+")
"""What looks like the name of a file."""
DURATION: Final = re.compile(r"\+?(\d+(?:\.\d+)?)([smhd]?)")


def read_input(pipeline: Pipeline[Any, Any], given: str) -> Any:  # noqa: ANN401 - a user's value
    """The input that is meant: JSON, a file that holds it, or the standard input (`-`).

    A type with a classmethod `from_text` also takes a text that is no JSON.

    Raises:
        OptionError: The file cannot be read, or is not there.
        InputError: It does not fit the pipeline.
    """
    from headrace.errors import CodecError, InputError

    text = read_text("--input", given)
    try:
        return pipeline.input.decode(text)
    except CodecError as error:
        if _takes_text(pipeline) and not _is_object(text):
            return _from_text(pipeline, given, text)
        raise InputError(pipeline.name, error.problems) from error


def read_limit(given: str) -> int | None:
    """How many jobs may run at once; None for any number.

    Raises:
        OptionError: It is no number from 1 on, and not `none`.
    """
    if given == "none":
        return None
    if given.isascii() and given.isdigit() and int(given):
        return int(given)
    raise OptionError("N", f"{given[:40]!r} is no limit; give a number from 1 on, or none")


def _takes_text(pipeline: Pipeline[Any, Any]) -> bool:
    return hasattr(pipeline.input.annotation, "from_text")


def _from_text(pipeline: Pipeline[Any, Any], given: str, text: str) -> Any:  # noqa: ANN401
    from pydantic import ValidationError

    from headrace.errors import InputError
    from headrace.model.codec_pydantic import problems_of

    if given == text and PATH.fullmatch(given):
        raise OptionError("--input", f"{given[:200]!r} is no file, and no JSON")
    annotation: Any = pipeline.input.annotation
    try:
        return annotation.from_text(text)
    except ValidationError as error:
        raise InputError(pipeline.name, problems_of(error)) from error


def read_json(pipeline: str, given: str) -> Any:  # noqa: ANN401 - JSON
    """The same where only the name of the pipeline is known: JSON, of which nothing is checked.

    Raises:
        OptionError: The file cannot be read.
        InputError: It is no JSON, and the pipeline is none that headrace brings and takes text.
    """
    import json

    from headrace.cli.shipped import TEXT_FIELDS
    from headrace.errors import InputError, Problem

    text = read_text("--input", given)
    try:
        return json.loads(text)
    except ValueError as error:
        if pipeline in TEXT_FIELDS:
            return {TEXT_FIELDS[pipeline]: text}
        raise InputError(pipeline, [Problem("$", f"it is no JSON: {error}")]) from error


def read_text(option: str, given: str) -> str:
    """What is meant: a text, the content of a file (`@file`, or its name alone), or `-` for stdin.

    Raises:
        OptionError: The file cannot be read.
    """
    if given == "-":
        return sys.stdin.read()
    path = given.removeprefix("@")
    if path == given and not _is_file(given):
        return given
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise OptionError(option, f"{path!r} cannot be read: {reason}") from error


def _is_file(given: str) -> bool:
    """Whether it names a file, rather than being the input itself."""
    import json

    try:
        json.loads(given)
    except ValueError:
        pass
    else:
        return False
    try:
        return Path(given).is_file()
    except (OSError, ValueError):  # too long for a name, or with a NUL
        return False


def _is_object(text: str) -> bool:
    import json

    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


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


def read_id(option: str, given: str | None) -> UUID | None:
    """The id of a job.

    Raises:
        OptionError: It is none.
    """
    from uuid import UUID

    try:
        return None if given is None else UUID(given)
    except ValueError:
        raise OptionError(option, f"{given!r} is no id of a job") from None


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
