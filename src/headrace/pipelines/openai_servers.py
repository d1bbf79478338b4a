"""What clients of OpenAI's protocol share: how errors name a server, how long it asks to wait."""

from __future__ import annotations

import logging
import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_WAIT_S: Final = 10.0
"""When a server is busy and does not say for how long."""
SHORTEST_WAIT_S: Final = 0.1
"""A server that asks for none would be asked again without a pause."""
MOST_CHARACTERS: Final = 300
"""Of a server's own words in an error."""

NO_QUOTA: Final = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
"""Codes of a 429 that no waiting helps."""


class Server:
    """Names a server in errors, without what is secret."""

    def __init__(self, kind: str, base_url: str, key: str) -> None:
        parts = urlsplit(base_url)
        host = parts.netloc.rpartition("@")[2]  # a password may stand before it
        self._name = f"the {kind} server {parts.scheme}://{host}{parts.path.rstrip('/')}"
        self._key = key

    def __str__(self) -> str:
        return self._name

    def masked(self, text: str) -> str:
        """A server's own words on one line, cut, without the key; some echo it."""
        line = " ".join(text.replace(self._key, "***").split())
        return "".join(filter(str.isprintable, line))[:MOST_CHARACTERS]

    def details(self, body: object) -> tuple[str, str]:
        """The code and the words of an error in OpenAI's form; empty where it has another."""
        if not isinstance(body, dict):
            return "", ""
        code = body.get("code") or body.get("type")
        return str(code), self.masked(str(body.get("message") or ""))


def keep_requests_out_of_logs() -> None:
    """Let the client of openai say nothing at DEBUG: it would log whole requests."""
    logging.getLogger("openai").setLevel(logging.INFO)


def wait_s(headers: Mapping[str, str]) -> float:
    """Seconds until a server wants to be asked again, from its headers.

    Read are `retry-after-ms`, and `Retry-After` as seconds or as a date; 10 where neither makes
    sense. `RetryAfter` cuts it to an hour.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    asked = milliseconds / 1_000 if milliseconds is not None else None
    if asked is None:
        asked = _number(headers.get("retry-after"))
    if asked is None:
        asked = _until(headers.get("retry-after"), headers.get("date"))
    return DEFAULT_WAIT_S if asked is None else max(asked, SHORTEST_WAIT_S)


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _until(date: str | None, now: str | None) -> float | None:
    """Seconds between two dates of the server; its clock may differ from ours."""
    try:
        then = parsedate_to_datetime(date or "")
        start = parsedate_to_datetime(now) if now else datetime.now(UTC)
        return (then - start).total_seconds()
    except (ValueError, TypeError):  # no date, or only one of them with a zone
        return None
