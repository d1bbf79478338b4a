"""Values made fit for a log: secrets masked, long text cut, unknown objects shown, at any depth."""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final
from uuid import UUID

MASK: Final = "***"
LONGEST_TEXT: Final = 200
"""Characters of a string that a log shows."""
LONGEST_TRACE: Final = 10_000
"""Characters of a traceback that a log shows."""
MOST_VALUES: Final = 500
"""Values of one field that a log shows, all depths together."""
DEEPEST: Final = 8
"""Levels of nesting that a log shows."""

_PLAIN: Final = frozenset({int, float, bool, type(None), UUID, datetime, date, time})
_SHORTEST_SECRET: Final = 16

# Each alternative starts with a literal, which keeps the search at 0.02 us a character.
_SECRET_SHAPES: Final = re.compile(
    r"(?:sk|rk|pk)[-_][\w-]{16,}"  # OpenAI, Stripe and those who copied them
    r"|AKIA[0-9A-Z]{16}|ASIA[0-9A-Z]{16}"  # AWS access keys
    r"|AIza[\w-]{30,}|ya29\.[\w-]{16,}"  # Google API key and access token
    r"|gh[pousr]_\w{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}"  # GitHub, GitLab
    r"|hr_[a-z0-9]{3,16}_[a-z0-9]{16,}"  # our own API keys
    r"|xox[abeprs]-[\w-]{10,}"  # Slack
    r"|whsec_[\w+/=-]{16,}"  # secrets of webhooks
    r"|eyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?"  # JSON web token
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----(?:.*?-----END [A-Z ]*PRIVATE KEY-----|.*)"
    r"|[Bb]earer [\w.~+/=-]{8,}|[Bb]asic [\w+/=-]{8,}",
    re.DOTALL,
)
_ADDRESS_LOGIN: Final = re.compile(r"""(?<=://)[^\s/@"']*:[^\s"']*(?=@)""")
_KEY_AND_SIGN: Final = re.compile(r"""([A-Za-z_][\w-]*+)["']?\s?[:=]++\s*""")
_VALUE: Final = re.compile(r"""b?(?:"[^"]*"?|'[^']*'?)|[^\s,;&)}\]"']++""")
_REST_OF_HEADER: Final = re.compile(r"""[^\r\n,;"'}]++""")  # `Authorization: Scheme value`
_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")
_SECRET_ANYWHERE: Final = frozenset(
    {"apikey", "authorization", "cookie", "credential", "credentials"}
    | {"passphrase", "passwd", "password", "pwd", "secret", "secrets"}
)
_SECRET_PAIRS: Final = frozenset(
    {("api", "key"), ("access", "key"), ("private", "key"), ("secret", "key"), ("signing", "key")}
)


@lru_cache(maxsize=4_096)
def is_secret_key(key: str) -> bool:
    """Tell whether a key names a secret: `apiKey`, `access_token`, but not `total_tokens`."""
    words = [word.lower() for word in _WORDS.findall(key)]
    return (
        not _SECRET_ANYWHERE.isdisjoint(words)
        or words[-1:] == ["token"]
        or not _SECRET_PAIRS.isdisjoint(pairwise(words))
    )


def clean_text(text: str) -> str:
    """Return the text with secrets masked, cut to 200 characters with its length shown."""
    if len(text) <= LONGEST_TEXT:
        if len(text) < _SHORTEST_SECRET and text.isidentifier():
            return text  # names and codes, most of what is logged: nothing to look for
        return mask_shapes(text)
    return _cut(text, LONGEST_TEXT)


def clean_trace(text: str) -> str:
    """Return a traceback with secrets masked; it may be longer than other text."""
    return mask_shapes(text) if len(text) <= LONGEST_TRACE else _cut(text, LONGEST_TRACE)


def mask_shapes(text: str) -> str:
    """Return the whole text with what looks like a secret masked."""
    masked = _SECRET_SHAPES.sub(MASK, text)
    if "://" in masked:
        masked = _ADDRESS_LOGIN.sub(MASK, masked)
    if "=" in masked or ":" in masked:
        masked = _mask_assignments(masked)
    return masked


def clean(value: object) -> object:
    """Return a value that is safe to log and that JSON can hold; the original is left alone."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is str:
        return clean_text(value)  # type: ignore[arg-type] # the exact type was compared
    return _Cleaner().clean(value, 0)


def clean_field(key: str, value: object) -> object:
    """Return what a log shows of a value under this key: the mask where the key names a secret."""
    if value is not None and is_secret_key(key):
        return MASK
    return clean(value)


class _Cleaner:
    """Walks one value and stops after so many parts, so that no line grows without bound."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = MOST_VALUES

    def clean(self, value: object, depth: int) -> object:
        self._left -= 1
        if type(value) in _PLAIN:
            return value
        if isinstance(value, str | UUID):  # the driver has its own kind of UUID
            return clean_text(str(value))
        if depth >= DEEPEST:
            return "... (nested deeper)"
        parts = _parts(value)
        if parts is not None:
            return self._mapping(parts, depth)
        if isinstance(value, list | tuple | AbstractSet):
            return self._sequence(list(value), depth)
        return clean_text(_shown(value))

    def _mapping(self, parts: Mapping[Any, object], depth: int) -> dict[str, object]:
        shown: dict[str, object] = {}
        for key, part in parts.items():
            if self._left <= 0:
                shown["..."] = f"{len(parts) - len(shown)} more"
                break
            name = key if isinstance(key, str) else _shown(key)
            secret = part is not None and is_secret_key(name)
            shown[clean_text(name)] = MASK if secret else self.clean(part, depth + 1)
        return shown

    def _sequence(self, items: list[object], depth: int) -> list[object]:
        shown: list[object] = []
        for item in items:
            if self._left <= 0:
                shown.append(f"... {len(items) - len(shown)} more")
                break
            shown.append(self.clean(item, depth + 1))
        return shown


def _parts(value: object) -> Mapping[Any, object] | None:
    """Return the named parts of a mapping, dataclass, pydantic model or msgspec struct."""
    if isinstance(value, Mapping):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name, None) for field in fields(value)}
    if hasattr(type(value), "model_fields"):
        return vars(value)
    names = getattr(type(value), "__struct_fields__", None)
    return None if names is None else {name: getattr(value, name, None) for name in names}


def _cut(text: str, most: int) -> str:
    # Masked before it is cut, or half a secret would stay; a huge text is not searched to its end.
    return f"{mask_shapes(text[: most + 1_000])[:most]}... ({len(text)} characters)"


def _shown(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - a user's own __repr__ must not end the job
        return f"<{type(value).__name__} whose repr raised {type(error).__name__}>"


def _mask_assignments(text: str) -> str:
    """Mask what follows `password=`, `"api_key": ` and the like; the key rule is that of fields."""
    kept: list[str] = []
    start = 0
    for found in _KEY_AND_SIGN.finditer(text):
        key = found.group(1)
        if found.start() < start or not is_secret_key(key):
            continue
        header = key.lower().endswith(("authorization", "cookie"))
        value = (_REST_OF_HEADER if header else _VALUE).match(text, found.end())
        if value is not None:
            kept += (text[start : found.end()], MASK)
            start = value.end()
    return "".join((*kept, text[start:])) if kept else text
