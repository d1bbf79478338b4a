"""What an attempt came to, and how an exception is read."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from headrace.errors import (
    CancelJob,
    CheckpointCorruptError,
    CodecError,
    DefinitionError,
    InputError,
    ItemsError,
    OutputError,
    OutputTooLargeError,
    PermanentError,
    RetryAfter,
    Skip,
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
    """The step asked to be run again later, without using an attempt."""

    wait_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The step asked to cancel its job."""

    reason: str


@dataclass(frozen=True, slots=True)
class Parked:
    """Something stored cannot be read by this code; the job waits for code that can."""

    reason: str


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The engine stopped the step; no attempt is used."""


@dataclass(frozen=True, slots=True)
class CutOff:
    """The step's transaction lost the database; no attempt is used, and it starts again soon."""


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
    | Interrupted
    | CutOff
    | Lost
)

_TRANSIENT: Final = (ConnectionError, TimeoutError)
_PERMANENT: Final[tuple[tuple[type | tuple[type, ...], str, str], ...]] = (
    (UserError, "user", "USER_ERROR"),
    (PermanentError, "permanent", "PERMANENT_ERROR"),
    (OutputTooLargeError, "permanent", "OUTPUT_TOO_LARGE"),
    (CheckpointCorruptError, "permanent", "CHECKPOINT_CORRUPT"),
    (DefinitionError, "permanent", "DEFINITION_ERROR"),
    ((OutputError, InputError, ItemsError, CodecError), "permanent", "VALIDATION_ERROR"),
)
_VALIDATORS: Final = frozenset({"pydantic", "pydantic_core", "msgspec"})


def read_error(error: BaseException, step: Step) -> Outcome:
    """What an exception that left a step means for it."""
    if isinstance(error, Skip):
        return _skip(error, step)
    if isinstance(error, RetryAfter):
        return Deferred(error.delay.total_seconds(), fit_text(error.reason))
    if isinstance(error, CancelJob):
        return Cancelled(fit_text(error.reason))
    return _failure(error, step)


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
            return Failed(kind, code, message, detail, retried=False)
    if _is_validation(error):
        return Failed("permanent", "VALIDATION_ERROR", message, detail, retried=False)
    if isinstance(error, step.retry.unless):
        return Failed("permanent", name, message, detail, retried=False)
    kind = "transient" if isinstance(error, _TRANSIENT) else "unknown"
    return Failed(kind, name, message, detail)


def _is_validation(error: BaseException) -> bool:
    """Whether a validator refused a value; known by name, for neither need be installed."""
    module = type(error).__module__.split(".")[0]
    return type(error).__name__ == "ValidationError" and module in _VALIDATORS
