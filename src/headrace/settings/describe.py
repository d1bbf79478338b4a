"""Settings in words: for the reference page, for `headrace config show`, for error messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple, get_args, get_origin

from pydantic import SecretStr

from headrace.settings.model import MIB, Settings
from headrace.settings.names import SECRETS, variable
from headrace.telemetry.masking import MASK, mask_shapes

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


class SettingRow(NamedTuple):
    """One setting as the reference page and `headrace config show` print it."""

    name: str
    default: str
    range: str
    meaning: str
    secret: bool
    value: str | None
    """The effective value, secrets masked; None where only the definition was asked for."""


def describe(settings: Settings | None = None) -> tuple[SettingRow, ...]:
    """Return a row for each setting, in order; with `settings` also the effective values."""
    return tuple(
        SettingRow(
            name=variable(field),
            default=default_text(info),
            range=range_text(field, info),
            meaning=info.description or "",
            secret=field in SECRETS,
            value=None if settings is None else _shown(getattr(settings, field)),
        )
        for field, info in Settings.model_fields.items()
    )


def default_text(info: FieldInfo) -> str:
    """Say what holds where a setting is not given."""
    extra = info.json_schema_extra
    if isinstance(extra, dict) and "default_text" in extra:
        return str(extra["default_text"])
    return "none" if info.default is None else _shown(info.default)


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


_UNITS: Final = {"_s": "seconds", "_d": "days", "_bytes": "bytes"}


def range_text(field: str, info: FieldInfo) -> str:
    """Say in words what a setting takes."""
    choices = _choices(info.annotation)
    if choices:
        return f"one of {', '.join(choices)}"
    bounds = {
        bound: getattr(part, bound)
        for part in info.metadata
        for bound in ("ge", "le")
        if hasattr(part, bound)
    }
    if bounds:
        unit = next((f" {text}" for end, text in _UNITS.items() if field.endswith(end)), "")
        return f"{bounds['ge']:,} to {bounds['le']:,}{unit}"
    if field.endswith("_url"):
        return "postgresql://user:password@host:port/name"
    if field == "queues":
        return "names separated by commas"
    if isinstance(info.default, tuple):
        return "values separated by commas"
    return "a path" if field == "data_dir" else "text"


def _choices(annotation: object) -> tuple[str, ...]:
    if get_origin(annotation) is Literal:
        return tuple(map(str, get_args(annotation)))
    return tuple(choice for part in get_args(annotation) for choice in _choices(part))
