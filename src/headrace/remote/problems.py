"""From a problem that the server tells (RFC 9457) to the error that it is here.

What a program catches is the same on both ways: `JobNotFoundError`, `InputError`, `TransitionError`
and their like are raised whether the database or a remote API was asked.
"""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from headrace import errors
from headrace.errors import HeadraceError, Problem
from headrace.remote import errors as remote

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MEDIA_TYPE: Final = "application/problem+json"
A_SECOND: Final = timedelta(seconds=1)
SIGNALS: Final = re.compile(r"^no signal .*; its pipeline waits for: (.*)$")
TRANSITION: Final = re.compile(r"a job that is (\w+) cannot be (\w+)")
PLACE: Final = re.compile(r"^(\$|query|path|header)\.?")


@dataclass(frozen=True, slots=True)
class Subject:
    """What a request is about, for the errors that name it."""

    job: str | None = None
    pipeline: str | None = None
    key: str | None = None
    signal: str | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is no success.

    Attributes:
        address: What was asked.
        status: The status of HTTP.
        kind: The media type.
        headers: Its headers, by names in lower case.
        document: The problem; empty where it told none.
        subject: What the request is about.
    """

    address: str
    status: int
    kind: str
    headers: Mapping[str, str]
    document: Mapping[str, Any]
    subject: Subject

    @classmethod
    def of(
        cls, address: str, status: int, headers: Mapping[str, str], body: bytes, subject: Subject
    ) -> Refusal:
        """The refusal in an answer."""
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        document: Any = None
        if kind == MEDIA_TYPE:
            with contextlib.suppress(ValueError):
                document = json.loads(body)
        told = document if isinstance(document, dict) else {}
        return cls(address, status, kind, headers, told, subject)

    @property
    def code(self) -> str:
        """The problem's code; that which fits the status where something else answered."""
        return str(self.document.get("code") or OF_STATUS.get(self.status, ""))

    @property
    def detail(self) -> str:
        """What the server says."""
        said = self.document.get("detail") or self.document.get("title")
        return str(said) if said else f"it answered {self.status}"

    @property
    def request_id(self) -> str:
        """What finds the request in the server's log."""
        return str(self.document.get("request_id") or self.headers.get("x-request-id", ""))

    @property
    def retry_after(self) -> timedelta | None:
        """When to come back, where the server says so."""
        return read_retry_after(self.headers.get("retry-after"))

    @property
    def problems(self) -> list[Problem]:
        """What is wrong, and where."""
        found = self.document.get("errors")
        return [
            Problem(str(one.get("path", "$")), str(one.get("message", "")))
            for one in (found if isinstance(found, list) else ())
            if isinstance(one, dict)
        ]

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed later."""
        if self.code == "CONFLICT":  # the same request is being served at this moment
            return self.retry_after is not None
        return self.code in PASSING

    def error(self) -> HeadraceError:
        """The error that it is."""
        make = MAKERS.get(self.code)
        error = self._unknown() if make is None else make(self)
        known = f", request {self.request_id}" if self.request_id else ""
        error.add_note(f"{self.address} answered {self.status} {self.code}{known}")
        return error

    def _unknown(self) -> HeadraceError:
        if self.status >= 500:  # noqa: PLR2004 - theirs
            return remote.ServerError(self.detail, self.request_id)
        if self.document:
            return errors.InvalidError(self.detail)
        found = f"answered {self.status} {self.kind}".rstrip()
        target = urlsplit(self.headers.get("location", ""))
        if target.netloc:
            place = target.netloc.rpartition("@")[2]
            found = f"answered {self.status}, and points to {target.scheme}://{place}"
        return remote.ForeignAnswerError(self.address, found)


OF_STATUS: Final = {
    401: "AUTH_REQUIRED",
    403: "FORBIDDEN",
    413: "PAYLOAD_TOO_LARGE",
    429: "RATE_LIMITED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "TIMEOUT",
}
"""What something before the API means, that knows nothing of our codes."""
PASSING: Final = frozenset(
    {
        "DATABASE_ERROR",
        "UNAVAILABLE",
        "LOCK_BUSY",
        "BREAKER_OPEN",
        "TIMEOUT",
        "RATE_LIMITED",
        "LLM_RATE_LIMIT",
        "LLM_TIMEOUT",
    }
)


def read_retry_after(text: str | None) -> timedelta | None:
    """How long to wait: seconds, or a time, as a proxy may say it; None for neither."""
    if text is None:
        return None
    if text.strip().isdecimal():
        return timedelta(seconds=min(int(text), 86_400))
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(at.astimezone(UTC) - datetime.now(UTC), timedelta())


def _not_found(refusal: Refusal) -> HeadraceError:
    signal = refusal.subject.signal
    found = None if signal is None else SIGNALS.fullmatch(refusal.detail)
    if signal is not None and found is not None:
        names = () if found[1] == "none" else found[1].split(", ")
        return errors.SignalNotFoundError(signal, names)
    if refusal.subject.job is not None:
        return errors.JobNotFoundError(refusal.subject.job)
    return errors.NotFoundError(refusal.detail)


def _input(refusal: Refusal) -> HeadraceError:
    root = "$.payload" if refusal.subject.signal is None else "$"
    places = [Problem(f"${path.removeprefix(root)}", message) for path, message in refusal.problems]
    name = refusal.subject.signal or refusal.subject.pipeline or "the pipeline"
    return errors.InputError(name, places or [Problem("$", refusal.detail)])


def _validation(refusal: Refusal) -> HeadraceError:
    problems = refusal.problems
    if not problems:
        return errors.InvalidError(refusal.detail)
    first, *others = ((PLACE.sub("", path) or "body", text) for path, text in problems)
    more = "".join(f"; {option}: {text}" for option, text in others)
    return errors.OptionError(first[0], f"{first[1]}{more}")


def _conflict(refusal: Refusal) -> HeadraceError:
    found = TRANSITION.fullmatch(refusal.detail)
    if found is not None:
        return errors.TransitionError(found[1], found[2])
    return errors.ConflictError(refusal.detail)


def _not_completed(refusal: Refusal) -> HeadraceError:
    state = str(refusal.document.get("state") or refusal.detail.rpartition("it is ")[2])
    return errors.NotCompletedError(refusal.subject.job, state)


def _later(kind: type[errors.UnavailableError]) -> Callable[[Refusal], HeadraceError]:
    return lambda refusal: kind(refusal.detail, refusal.retry_after or A_SECOND)


MAKERS: Final[Mapping[str, Callable[[Refusal], HeadraceError]]] = {
    "VALIDATION_ERROR": _validation,
    "SCHEMA_VALIDATION_ERROR": _input,
    "UNSUPPORTED_VERSION": lambda refusal: errors.InvalidError(refusal.detail),
    "NOT_FOUND": _not_found,
    "CONFLICT": _conflict,
    "SIGNAL_TAKEN": lambda refusal: errors.ConflictError(refusal.detail),
    "SIGNAL_EXPIRED": lambda refusal: errors.ConflictError(refusal.detail),
    "JOB_FINISHED": lambda refusal: errors.JobFinishedError(refusal.subject.job),
    "UNDO_UNDER_WAY": lambda refusal: errors.ConflictError(refusal.detail),
    "UNDO_FAILED": lambda refusal: errors.ConflictError(refusal.detail),
    "STALE_TOKEN": lambda refusal: errors.ConflictError(refusal.detail),
    "NOT_COMPLETED": _not_completed,
    "IDEMPOTENCY_KEY_REUSED": lambda refusal: errors.IdempotencyKeyReusedError(
        refusal.subject.key or ""
    ),
    "AUTH_REQUIRED": lambda refusal: remote.AuthRequiredError(refusal.detail),
    "FORBIDDEN": lambda refusal: remote.ForbiddenError(refusal.detail),
    "PAYLOAD_TOO_LARGE": lambda refusal: remote.TooLargeError(refusal.detail),
    "UNSUPPORTED_MEDIA_TYPE": lambda refusal: remote.UnsupportedTypeError(refusal.detail),
    "RATE_LIMITED": _later(remote.RateLimitedError),
    "BUDGET_EXHAUSTED": _later(remote.BudgetExhaustedError),
    "DATABASE_ERROR": _later(errors.DatabaseUnavailableError),
    "UNAVAILABLE": _later(remote.ServiceUnavailableError),
    "LOCK_BUSY": _later(remote.ServiceUnavailableError),
    "BREAKER_OPEN": _later(remote.ServiceUnavailableError),
    "TIMEOUT": _later(remote.ServiceUnavailableError),
    "LLM_RATE_LIMIT": _later(remote.ServiceUnavailableError),
    "LLM_TIMEOUT": _later(remote.ServiceUnavailableError),
    "CHECKPOINT_CORRUPT": lambda refusal: errors.CheckpointCorruptError(
        f"of job {refusal.subject.job}", refusal.detail
    ),
}
"""By the code of the problem; what is not here is `ServerError` or `InvalidError`."""
