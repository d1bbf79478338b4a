"""What an error of the server means for the step: try again, wait, or give up."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from headrace import PermanentError, RetryAfter
from headrace.pipelines.documents.embedding.errors import EmbeddingFailedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import openai

DEFAULT_WAIT_S: Final = 10.0
"""When a server is busy and does not say for how long."""
SHORTEST_WAIT_S: Final = 0.1
"""A server that asks for none would be asked again without a pause."""
MOST_CHARACTERS: Final = 300
"""Of a server's own words in an error."""

_NO_QUOTA: Final = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
_HINTS: Final = {
    401: "check its API key",
    403: "this key may not use the model: check the key's project and permissions",
    404: "check the name of the model {model!r}, and that the address ends with its version, "
    "as in http://localhost:8080/v1",
}
_OTHER_HINT: Final = "check the model {model!r} and its limits"


class Server:
    """Names a server in errors, without what is secret."""

    def __init__(self, base_url: str, model: str, key: str) -> None:
        parts = urlsplit(base_url)
        host = parts.netloc.rpartition("@")[2]  # a password may stand before it
        self._name = f"{parts.scheme}://{host}{parts.path.rstrip('/')}"
        self.model, self._key = model, key

    def __str__(self) -> str:
        return f"the embedding server {self._name}"

    def masked(self, text: str) -> str:
        """A server's own words on one line, cut, without the key; some echo it."""
        line = " ".join(text.replace(self._key, "***").split())
        return "".join(filter(str.isprintable, line))[:MOST_CHARACTERS]


def steering(error: openai.OpenAIError, server: Server) -> Exception:
    """What to raise instead of an error of the client.

    Returns:
        `RetryAfter` for a rate limit; `PermanentError` where another try cannot help, with what to
        check; `EmbeddingFailedError` for the rest.
    """
    status: int | None = getattr(error, "status_code", None)
    if status is None:
        cause = error.__cause__
        reason = server.masked(str(cause or error)) or type(cause or error).__name__
        return EmbeddingFailedError(f"{server} cannot be reached: {reason}")
    code, words = _details(getattr(error, "body", None), server)
    said = f"{server} answered {status}{f' ({words})' if words else ''}"
    if status == 429 and code in _NO_QUOTA:  # noqa: PLR2004 - too many requests
        return PermanentError(f"{said}: the account has no quota left, check its plan and billing")
    if status == 429:  # noqa: PLR2004 - too many requests
        response = getattr(error, "response", None)
        return RetryAfter(wait_s(getattr(response, "headers", {})), said)
    if status >= 500 or status == 408:  # noqa: PLR2004 - a fault or a timeout of its own
        return EmbeddingFailedError(said)
    hint = _HINTS.get(status, _OTHER_HINT).format(model=server.model)
    return PermanentError(f"{said}: {hint}")


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


def _details(body: object, server: Server) -> tuple[str, str]:
    """The code and the words of an error in OpenAI's form; empty where it has another."""
    if not isinstance(body, dict):
        return "", ""
    code = body.get("code") or body.get("type")
    return str(code), server.masked(str(body.get("message") or ""))
