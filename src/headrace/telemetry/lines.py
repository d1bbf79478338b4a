"""One log line as JSON for machines, or as text for a terminal; neither can be forged.

Whatever a value holds, a line stays one line: JSON escapes line breaks, text mode escapes every
control character, so that a newline or a terminal sequence in user data shows as what it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias
from uuid import UUID

import orjson

from headrace.telemetry.events import Level

LARGEST_LINE: Final = 32_768
"""Bytes of one line; what is larger shows its fields' names only."""

_LABELS: Final = "logging.googleapis.com/labels"
_RESERVED: Final = frozenset({"severity", "time", "message", _LABELS})
_OPTIONS: Final = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC | orjson.OPT_NON_STR_KEYS
_DISTURBING: Final = (
    "\\x7f-\\x9f\\u2028-\\u202e\\u2066-\\u2069"  # breaks, terminal codes, direction
)
_UNSAFE_IN_JSON: Final = re.compile(f"[{_DISTURBING}]")
_UNSAFE_IN_TEXT: Final = re.compile(f"[\\x00-\\x1f{_DISTURBING}\\ud800-\\udfff]")
_NEEDS_QUOTES: Final = re.compile(r"""[\s"'=]|^$""")
_SEVERITIES: Final = MappingProxyType({int(level): level.name for level in Level})


class Line(NamedTuple):
    """What one line says; the values are already clean."""

    level: int
    message: str
    fields: Mapping[str, object]
    trace: str | None = None
    """A traceback, the only thing that may take several lines, in text mode, set off by a bar."""


Render: TypeAlias = Callable[[Line], bytes]


class JsonLines:
    """Renders lines with the field names of Cloud Logging."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        self._labels = orjson.Fragment(orjson.dumps(dict(labels))) if labels else None

    def __call__(self, line: Line) -> bytes:
        """Return one JSON object and a newline."""
        fields = line.fields
        if not _RESERVED.isdisjoint(fields):  # a user's field must not pose as the severity
            fields = {f"{key}_" if key in _RESERVED else key: fields[key] for key in fields}
        whole: dict[str, object] = {
            "severity": _severity(line.level),
            "time": datetime.now(UTC),
            "message": line.message,
            **fields,
        }
        if line.trace is not None:
            whole["exception"] = line.trace
        if self._labels is not None:
            whole[_LABELS] = self._labels
        text = _dumps(whole)
        if len(text) > LARGEST_LINE:
            text = _dumps(_outline(whole, len(text)))
        return text + b"\n"


class TextLines:
    """Renders lines for people: time, level, message, then `key=value`."""

    def __init__(self, *, colours: bool) -> None:
        self._paint = _coloured if colours else _plain

    def __call__(self, line: Line) -> bytes:
        """Return one line, followed by the indented lines of a traceback."""
        moment = datetime.now(UTC).strftime("%H:%M:%S.%f")[:-3]
        severity = _severity(line.level)
        parts = [
            self._paint(f"{moment}Z", "dim"),
            self._paint(f"{severity:<8}", severity),
            self._paint(_escape(line.message), "bold"),
        ]
        for key, value in line.fields.items():
            if key == "event" and value == line.message:
                continue  # it is for machines, which look for events by this field
            parts.append(f"{self._paint(f'{_escape(key)}=', 'dim')}{_text_of(value)}")
        shown = " ".join(parts)
        if line.trace is not None:
            shown += "".join(f"\n    | {_escape(row)}" for row in line.trace.splitlines())
        return shown.encode() + b"\n"


def _severity(level: int) -> str:
    name = _SEVERITIES.get(level)
    if name is not None:
        return name
    return next((known.name for known in reversed(Level) if level >= known), "DEBUG")


def _simplified(value: object) -> str:
    # The driver's UUID is a subclass, which orjson does not take for one.
    return str(value) if isinstance(value, UUID) else repr(value)


def _dumps(whole: dict[str, object]) -> bytes:
    try:
        text = orjson.dumps(whole, option=_OPTIONS, default=_simplified)
    except TypeError:  # a lone surrogate, or an integer over 64 bits
        return json.dumps(whole, default=_json_of).encode()
    if text.isascii() and b"\x7f" not in text:
        return text
    return _UNSAFE_IN_JSON.sub(lambda found: f"\\u{ord(found.group()):04x}", text.decode()).encode()


def _json_of(value: object) -> object:
    if isinstance(value, orjson.Fragment):
        return json.loads(orjson.dumps(value))
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _outline(whole: Mapping[str, object], size: int) -> dict[str, object]:
    kept = {key: value for key, value in whole.items() if key in _RESERVED or key == "event"}
    names = [key[:64] for key in whole if key not in kept]
    return {**kept, "left_out": names[:100], "left_out_bytes": size}


def _escape(text: str) -> str:
    return _UNSAFE_IN_TEXT.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return found.group().encode("unicode_escape", "surrogatepass").decode("ascii")


def _text_of(value: object) -> str:
    if isinstance(value, str):
        return json.dumps(value) if _NEEDS_QUOTES.search(value) else _escape(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict | list | tuple):
        return _escape(json.dumps(value, default=str, ensure_ascii=False))
    return _escape(str(value))


_CODES: Final = MappingProxyType(
    {"dim": 2, "bold": 1, "DEBUG": 2, "INFO": 32, "WARNING": 33, "ERROR": 31, "CRITICAL": 41}
)


def _coloured(text: str, style: str) -> str:
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m"


def _plain(text: str, _style: str) -> str:
    return text
