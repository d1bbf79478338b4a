"""What a service says with HTTP 429: how long it wants to be left alone.

Errors are known by their shape, so that no client need be installed: those of httpx, openai,
anthropic, requests and aiohttp bear a status and headers, or a response that does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

TOO_MANY_REQUESTS: Final = 429
LONGEST: Final = timedelta(hours=1)
"""A service that asks for more is asked again after this."""
SPENT: Final = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
"""Codes of a 429 that no waiting helps: the account's money is used up."""


def is_refused(error: BaseException) -> bool:
    """Whether a service answered with 429, and waiting may help."""
    return _status(error) == TOO_MANY_REQUESTS and not _is_spent(error)


def asked_wait(error: BaseException) -> timedelta:
    """How long the service of a 429 asks to be left alone; 0 where it does not say."""
    response = getattr(error, "response", None)
    headers = getattr(response, "headers", None) or getattr(error, "headers", None)
    if not isinstance(headers, Mapping):
        return timedelta()
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return read_wait(milliseconds / 1_000)
    return read_wait(headers.get("retry-after") or headers.get("Retry-After"), headers.get("date"))


def read_wait(asked: object, date: object = None) -> timedelta:
    """What a Retry-After means: 0 to 3,600 s.

    Args:
        asked: Seconds, a duration, or the header: seconds or a date. What makes no sense is 0.
        date: The answer's own date: a service's clock may differ from ours.
    """
    if isinstance(asked, timedelta):
        return _bounded(asked.total_seconds())
    seconds = _number(asked)
    if seconds is None and isinstance(asked, str):
        seconds = _until(asked, date if isinstance(date, str) else None)
    return _bounded(seconds or 0.0)


def _bounded(seconds: float) -> timedelta:
    return timedelta(seconds=min(max(seconds, 0.0), LONGEST.total_seconds()))


def _status(error: BaseException) -> object:
    response = getattr(error, "response", None)
    for bearer in (error, response):
        for name in ("status_code", "status"):
            status = getattr(bearer, name, None)
            if isinstance(status, int):
                return status
    return None


def _is_spent(error: BaseException) -> bool:
    body = getattr(error, "body", None)
    said = [getattr(error, "code", None), getattr(error, "type", None)]
    if isinstance(body, Mapping):
        inner = body.get("error")
        for part in (body, inner if isinstance(inner, Mapping) else {}):
            said += [part.get("code"), part.get("type")]
    return any(isinstance(word, str) and word in SPENT for word in said)


def _number(given: object) -> float | None:
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        return None
    try:
        number = float(given)
    except (ValueError, OverflowError):
        return None
    return None if math.isnan(number) else number


def _until(date: str, now: str | None) -> float | None:
    try:
        then = parsedate_to_datetime(date)
        start = parsedate_to_datetime(now) if now else datetime.now(UTC)
        return (then - start).total_seconds()
    except (ValueError, TypeError, OverflowError):  # no date, or only one of them with a zone
        return None
