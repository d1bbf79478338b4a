"""Settings classes as environment variables: read with a line for each wrong one, told in words.

The engine's settings are read by this, and those of a pipeline can be:

    class MillSettings(BaseSettings):
        model_config = SettingsConfigDict(env_prefix="MILL_", frozen=True, extra="forbid")
        stones: int = Field(default=2, ge=1, le=8, description="Pairs of stones.")

    settings = read_settings(MillSettings)
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeVar, get_args, get_origin

from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource

from headrace.errors import Problem, SettingsError
from headrace.telemetry.masking import MASK, clean_text, mask_shapes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic.fields import FieldInfo

Model = TypeVar("Model", bound=BaseSettings)

MIB: Final = 1_024 * 1_024
UNITS: Final = {"_s": "seconds", "_d": "days", "_bytes": "bytes"}
"""What the ends of names mean."""


class SettingRow(NamedTuple):
    """One setting as the reference page and `headrace config show` print it."""

    name: str
    default: str
    range: str
    meaning: str
    secret: bool
    value: str | None
    """The effective value, secrets masked; None where only the definition was asked for."""


def read_settings(model: type[Model], environ: Mapping[str, str] = os.environ) -> Model:
    """The settings of this environment, by the rules that hold for the engine's own.

    A variable is called as its field with the prefix of the class before it. A `SecretStr` may also
    come from a file, which the variable of the same name that ends in `_FILE` names.

    Args:
        model: A class of pydantic-settings with an `env_prefix`.
        environ: Where to look.

    Raises:
        SettingsError: Something is blank, out of range, unreadable or contradictory; its one line
            names each variable and says what it takes.
    """
    prefix = _prefix(model)
    given = {name: text for name, text in environ.items() if name.startswith(prefix)}
    problems = [*_take_files(model, given), *_blank(model, given)]
    if problems:
        raise SettingsError(problems)
    source = EnvSettingsSource(model)
    source.env_vars = {name.lower(): text for name, text in given.items()}
    try:
        return model(**source())
    except ValidationError as error:
        raise SettingsError(_problems_of(model, error)) from None  # its text would show the values


def describe(model: type[Model], settings: Model | None = None) -> tuple[SettingRow, ...]:
    """Return a row for each setting, in order; with `settings` also the effective values."""
    return tuple(
        SettingRow(
            name=variable(model, field),
            default=default_text(info),
            range=range_text(field, info),
            meaning=info.description or "",
            secret=is_secret(info),
            value=None if settings is None else _shown(getattr(settings, field)),
        )
        for field, info in model.model_fields.items()
    )


def variable(model: type[BaseSettings], field: str) -> str:
    """The environment variable of a field: `HEADRACE_LEASE_S` for `lease_s`."""
    return _prefix(model) + field.upper()


def variables(model: type[BaseSettings]) -> frozenset[str]:
    """All environment variables that mean something to a class."""
    names = {variable(model, field) for field in model.model_fields}
    files = {
        f"{variable(model, field)}_FILE"
        for field, info in model.model_fields.items()
        if is_secret(info)
    }
    return frozenset(names | files)


def is_secret(info: FieldInfo) -> bool:
    """Whether a value is masked, and may come from a file."""
    return SecretStr in _parts(info.annotation)


def default_text(info: FieldInfo) -> str:
    """Say what holds where a setting is not given."""
    return _extra(info, "default_text") or _shown(info.default)


def range_text(field: str, info: FieldInfo) -> str:
    """Say in words what a setting takes; the `takes` of its `json_schema_extra`, if it has that."""
    takes = _extra(info, "takes")
    if takes:
        return takes
    choices = [part for part in _parts(info.annotation) if isinstance(part, str)]
    if choices:
        return f"one of {', '.join(choices)}"
    bounds = {
        bound: getattr(part, bound)
        for part in info.metadata
        for bound in ("ge", "le")
        if hasattr(part, bound)
    }
    if bounds:
        unit = next((f" {text}" for end, text in UNITS.items() if field.endswith(end)), "")
        return f"{bounds['ge']:,} to {bounds['le']:,}{unit}"
    return _kind_text(field, info)


# --- inside ---------------------------------------------------------------------------------------


def _prefix(model: type[BaseSettings]) -> str:
    return str(model.model_config.get("env_prefix", ""))


def _extra(info: FieldInfo, key: str) -> str | None:
    extra = info.json_schema_extra
    return str(extra[key]) if isinstance(extra, dict) and key in extra else None


def _kind_text(field: str, info: FieldInfo) -> str:
    if field.endswith("_url"):
        return "postgresql://user:password@host:port/name"
    if field == "queues":
        return "names separated by commas"
    if isinstance(info.default, tuple):
        return "values separated by commas"
    if Path in _parts(info.annotation):
        return "a path"
    least = next((part.min_length for part in info.metadata if hasattr(part, "min_length")), 0)
    return f"text of at least {least} characters" if least > 1 else "text"


def _parts(annotation: object) -> tuple[object, ...]:
    """The types of an annotation, and the choices of its literals."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return annotation, *(part for each in get_args(annotation) for part in _parts(each))


def _shown(value: object) -> str:
    match value:
        case None:
            return "none"
        case SecretStr():
            return _shown_address(value.get_secret_value())
        case tuple():
            return ",".join(map(str, value))
        case float():
            return f"{value:g}" if value < MIB else f"{value:.0f}"
        case _:
            return str(value)


def _shown_address(text: str) -> str:
    """Show where a database is, and nothing of what opens it."""
    scheme, is_address, rest = text.partition("://")
    if not is_address:
        return MASK
    login, at, place = rest.rpartition("@")
    return mask_shapes(f"{scheme}://{MASK if login else ''}{at}{place}")


def _take_files(model: type[BaseSettings], given: dict[str, str]) -> Iterator[Problem]:
    """Replace `..._FILE` by what the file holds."""
    for field in sorted(field for field, info in model.model_fields.items() if is_secret(info)):
        name = variable(model, field)
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


def _blank(model: type[BaseSettings], given: Mapping[str, str]) -> Iterator[Problem]:
    for field, info in model.model_fields.items():
        name = variable(model, field)
        if name in given and not given[name].strip():
            yield Problem(name, f"is blank; {_advice(field, info)}")


def _problems_of(model: type[BaseSettings], error: ValidationError) -> list[Problem]:
    """Say in our words what pydantic found, once for each setting."""
    problems: dict[str, Problem] = {}
    for detail in error.errors(include_url=False):
        field = str(detail["loc"][0])
        info = model.model_fields.get(field)
        name = variable(model, field)
        if info is None:
            problems[field] = Problem(name, "is no setting; remove it")
            continue
        shown = "the value" if is_secret(info) else clean_text(repr(detail["input"]))
        problems[field] = Problem(name, f"{shown} is not accepted; {_advice(field, info)}")
    return list(problems.values())


def _advice(field: str, info: FieldInfo) -> str:
    return f"give {range_text(field, info)}, or unset it (default: {default_text(info)})"
