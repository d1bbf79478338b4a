"""What an attempt came to, and how an exception is read."""

from __future__ import annotations

import re
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from headrace.errors import (
    BreakerOpenError,
    BudgetExhaustedError,
    CancelJob,
    CheckpointCorruptError,
    CodecError,
    DatabaseUnavailableError,
    DefinitionError,
    HeadraceError,
    IdempotencyKeyReusedError,
    InputError,
    ItemsError,
    LockBusyError,
    LockLostError,
    OperationInProgressError,
    OptionError,
    OutputError,
    OutputTooLargeError,
    PermanentError,
    RateLimitedError,
    RetryAfter,
    Skip,
    UnavailableError,
    UserError,
)
from headrace.telemetry.masking import mask_shapes

if TYPE_CHECKING:
    from headrace.model.step import Step

DETAIL_MOST: Final = 20_000
"""Characters of a traceback that are kept, counted from its end, where the cause is."""
TEXT_MOST: Final = 20_000
"""Characters of a message that are kept, counted from its beginning."""
SECRET_MOST: Final = 4_000
"""Characters of the longest secret that is looked for: a private key."""


@dataclass(frozen=True, slots=True)
class Done:
    """The step returned; `text` is its output as stored JSON."""

    text: str


@dataclass(frozen=True, slots=True)
class Stored:
    """The step's own transaction has stored its checkpoint already."""

    text: str


@dataclass(frozen=True, slots=True)
class Planned:
    """The items of a fan-out are known; `text` is the plan as it is stored."""

    text: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """The step said that it is not needed."""

    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The step failed. `retried` tells whether another try may help."""

    kind: str
    code: str
    message: str
    detail: str | None = None
    retried: bool = True


@dataclass(frozen=True, slots=True)
class Deferred:
    """The step asked to be run again later, without using an attempt.

    Attributes:
        kind: The class of its row in `tries`.
        wait_reason: What the job is said to wait for.
        most: Deferrals of this kind in a row after which it counts as a failure; 0: any number.
    """

    wait_s: float
    reason: str
    kind: str = "rate_limited"
    code: str = "RETRY_AFTER"
    wait_reason: str = "rate_limited"
    most: int = 0


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The step asked to cancel its job."""

    reason: str


@dataclass(frozen=True, slots=True)
class Parked:
    """Something stored cannot be read by this code; the job waits for code that can."""

    reason: str


@dataclass(frozen=True, slots=True)
class Delegated:
    """The step returned a child job, whose result will be its output."""

    child: str


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The engine stopped the step; no attempt is used."""


@dataclass(frozen=True, slots=True)
class CutOff:
    """The step was cut off from the database; no attempt is used, and it starts again soon."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The job turned out to be another worker's."""


Outcome: TypeAlias = (
    Done
    | Stored
    | Planned
    | Skipped
    | Failed
    | Deferred
    | Cancelled
    | Parked
    | Delegated
    | Interrupted
    | CutOff
    | Lost
)

LOCK_WAIT_S: Final = 1.0
LOCK_WAITS: Final = 5
"""A lock that is still busy then is a failure like others: attempts and back-off apply."""
OPERATION_WAIT_S: Final = 30.0
HELD_UP: Final = (
    BreakerOpenError,
    BudgetExhaustedError,
    LockBusyError,
    LockLostError,
    OperationInProgressError,
    RateLimitedError,
)
_TRANSIENT: Final = (ConnectionError, TimeoutError)
_PERMANENT: Final[tuple[tuple[type | tuple[type, ...], str, str], ...]] = (
    (UserError, "user", "USER_ERROR"),
    (PermanentError, "permanent", "PERMANENT_ERROR"),
    (OutputTooLargeError, "permanent", "OUTPUT_TOO_LARGE"),
    (CheckpointCorruptError, "permanent", "CHECKPOINT_CORRUPT"),
    (DefinitionError, "permanent", "DEFINITION_ERROR"),
    (IdempotencyKeyReusedError, "permanent", "IDEMPOTENCY_KEY_REUSED"),
    (OptionError, "permanent", "VALIDATION_ERROR"),
    ((OutputError, InputError, ItemsError, CodecError), "permanent", "VALIDATION_ERROR"),
)
_CODE: Final = re.compile("[A-Z][A-Z0-9_]{0,63}")
_VALIDATORS: Final = frozenset({"pydantic", "pydantic_core", "msgspec"})


def read_error(error: BaseException, step: Step) -> Outcome:
    """What an exception that left a step means for it."""
    if isinstance(error, Skip):
        return _skip(error, step)
    if isinstance(error, RetryAfter):
        code = _code_of(error, "RETRY_AFTER")
        return Deferred(error.delay.total_seconds(), fit_text(error.reason), code=code)
    if isinstance(error, CancelJob):
        return Cancelled(fit_text(error.reason))
    if isinstance(error, HELD_UP):
        return _held_up(error)
    if isinstance(error, DatabaseUnavailableError):  # of a primitive: an outage costs no attempt
        return CutOff()
    return _failure(error, step)


def _held_up(error: HeadraceError) -> Outcome:
    """Something that is shared by all jobs has no room for this one now."""
    reason = fit_text(str(error))
    wait_s = error.retry_after.total_seconds() if isinstance(error, UnavailableError) else 0.0
    if isinstance(error, BreakerOpenError):
        return Deferred(wait_s, reason, "unavailable", "BREAKER_OPEN", "breaker_open")
    if isinstance(error, RateLimitedError):
        return Deferred(wait_s, reason, "rate_limited", "RATE_LIMITED")
    if isinstance(error, BudgetExhaustedError):
        if error.renews_after is None:
            return Failed("budget", "BUDGET_EXHAUSTED", reason, retried=False)
        return Deferred(wait_s, reason, "budget", "BUDGET_EXHAUSTED", "budget")
    code = error.code.upper()
    if isinstance(error, OperationInProgressError):
        wait_s = min(max(wait_s, LOCK_WAIT_S), OPERATION_WAIT_S)
        return Deferred(wait_s, reason, "lock_busy", code, "lock_busy")
    return Deferred(LOCK_WAIT_S, reason, "lock_busy", code, "lock_busy", most=LOCK_WAITS)


def fit_text(text: str) -> str:
    """A text that people are shown, as PostgreSQL can store it: cut, and said so, if it is long.

    What looks like a secret is masked: errors of clients quote addresses, headers, settings.
    """
    if len(text) > TEXT_MOST:
        # Masked before it is cut, or half a secret would stay.
        kept = mask_shapes(text[: TEXT_MOST + SECRET_MOST])[:TEXT_MOST]
        text = f"{kept}... and {len(text) - TEXT_MOST:,} more characters"
    else:
        text = mask_shapes(text)
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\0")


def timed_out(step: Step, limit_s: float) -> Failed:
    """The failure of a step whose time limit passed."""
    return Failed("timeout", "TIMEOUT", f"step {step.name} took longer than its {limit_s:g} s")


def _skip(error: Skip, step: Step) -> Outcome:
    if step.may_skip:
        return Skipped(fit_text(error.reason))
    return Failed(
        "permanent",
        "SKIP_NOT_ALLOWED",
        f"step {step.name} raised Skip, but its output may not be None: "
        f"annotate it `-> {step.output.type_name} | None`",
        retried=False,
    )


def _failure(error: BaseException, step: Step) -> Failed:
    name = type(error).__name__
    trace = "".join(traceback.format_exception(error))[-DETAIL_MOST - SECRET_MOST :]
    detail = fit_text(mask_shapes(trace)[-DETAIL_MOST:])
    message = fit_text(str(error)) or name
    for types, kind, code in _PERMANENT:
        if isinstance(error, types):
            return Failed(kind, _code_of(error, code), message, detail, retried=False)
    if _is_validation(error):
        return Failed("permanent", "VALIDATION_ERROR", message, detail, retried=False)
    if isinstance(error, step.retry.unless):
        return Failed("permanent", name, message, detail, retried=False)
    kind = "transient" if isinstance(error, (*_TRANSIENT, UnavailableError)) else "unknown"
    return Failed(kind, _code_of(error, name), message, detail)


def _code_of(error: BaseException, usual: str) -> str:
    """The code that a user's own error declares: `code = "LLM_TIMEOUT"` in its class."""
    declared = getattr(type(error), "code", None)
    is_code = isinstance(declared, str) and _CODE.fullmatch(declared) is not None
    return str(declared) if is_code else usual


def _is_validation(error: BaseException) -> bool:
    """Whether a validator refused a value; known by name, for neither need be installed."""
    module = type(error).__module__.split(".")[0]
    return type(error).__name__ == "ValidationError" and module in _VALIDATORS
