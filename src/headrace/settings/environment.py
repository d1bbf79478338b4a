"""Settings from the environment, with a line for each variable that is wrong."""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource

from headrace.errors import Problem, SettingsError
from headrace.settings.describe import default_text, range_text
from headrace.settings.model import Settings
from headrace.settings.names import PREFIX, SECRETS, variable
from headrace.telemetry.masking import clean_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic.fields import FieldInfo

PLATFORM_PORT: Final = "PORT"
"""What Cloud Run and its like call the port that a service must listen on."""


class UnknownSetting(NamedTuple):
    """A `HEADRACE_` variable that means nothing, and the names that may have been meant."""

    name: str
    close_matches: tuple[str, ...]


def load_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings of this environment.

    Raises:
        SettingsError: Something is blank, out of range, unreadable or contradictory; its one line
            names each setting and says what it takes.
    """
    given = {name: text for name, text in environ.items() if name.startswith(PREFIX)}
    if PLATFORM_PORT in environ:
        given.setdefault(variable("port"), environ[PLATFORM_PORT])
    problems = [*_take_files(given), *_blank(given)]
    if problems:
        raise SettingsError(problems)
    source = EnvSettingsSource(Settings)
    source.env_vars = {name.lower(): text for name, text in given.items()}
    try:
        return Settings(**source())
    except ValidationError as error:
        raise SettingsError(_problems_of(error)) from None  # its text would show the values


def unknown_settings(
    environ: Mapping[str, str] = os.environ, *, also: frozenset[str] = frozenset()
) -> tuple[UnknownSetting, ...]:
    """Return the `HEADRACE_` variables that mean nothing to the engine.

    Args:
        environ: Where to look.
        also: Full names that others read, for example a shipped pipeline's own settings.
    """
    known = {variable(field) for field in Settings.model_fields} | also
    known |= {f"{variable(field)}_FILE" for field in SECRETS}
    return tuple(
        UnknownSetting(name, tuple(get_close_matches(name, known)))
        for name in sorted(environ)
        if name.startswith(PREFIX) and name not in known
    )


def _take_files(given: dict[str, str]) -> Iterator[Problem]:
    """Replace `..._FILE` by what the file holds."""
    for field in sorted(SECRETS):
        name = variable(field)
        path = given.pop(f"{name}_FILE", None)
        if path is None:
            continue
        if name in given:
            yield Problem(f"{name}_FILE", f"{name} is set as well; unset one of the two")
            continue
        try:
            given[name] = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            yield Problem(f"{name}_FILE", f"{path!r} cannot be read: {reason}; mount or unset it")


def _blank(given: Mapping[str, str]) -> Iterator[Problem]:
    for field, info in Settings.model_fields.items():
        name = variable(field)
        if name in given and not given[name].strip():
            yield Problem(name, f"is blank; {_advice(field, info)}")


def _problems_of(error: ValidationError) -> list[Problem]:
    """Say in our words what pydantic found, once for each setting."""
    problems: dict[str, Problem] = {}
    for detail in error.errors(include_url=False):
        field = str(detail["loc"][0])
        info = Settings.model_fields.get(field)
        name = variable(field)
        if info is None:
            problems[field] = Problem(name, "is no setting; remove it")
            continue
        shown = "the value" if field in SECRETS else clean_text(repr(detail["input"]))
        problems[field] = Problem(name, f"{shown} is not accepted; {_advice(field, info)}")
    return list(problems.values())


def _advice(field: str, info: FieldInfo) -> str:
    return f"give {range_text(field, info)}, or unset it (default: {default_text(info)})"
