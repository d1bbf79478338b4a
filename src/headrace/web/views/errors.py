"""Errors of steps as their owners may see them: a code, and text that is known to be safe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from headrace.model.status import ErrorStatus

SAFE: Final = frozenset(
    {
        "USER_ERROR",
        "TIMEOUT",
        "JOB_TIMEOUT",
        "DEADLINE_EXCEEDED",
        "WAIT_LIMIT",
        "WORKER_LOST",
        "OUTPUT_TOO_LARGE",
        "SKIP_NOT_ALLOWED",
        "OPERATOR",
        "PARSER_FAILED",
        "PARSER_TIMEOUT",
    }
)
"""Codes whose texts are the engine's own, or were written to be shown (`UserError`)."""
HIDDEN: Final = "the step failed; its operators can read why"


class StepError(BaseModel):
    """Why a try, or the job, failed."""

    code: str = Field(description="Stable, or the name of the exception.", examples=["TIMEOUT"])
    kind: str | None = Field(description="Its class, which decides about a retry.")
    message: str = Field(description="Safe to show; the whole text is for operators.")
    step: str | None = None
    item: str | None = None


def shown_message(code: str, message: str) -> str:
    """A step's message, if it is known to be safe; an exception's own text is not."""
    return message if code in SAFE else HIDDEN


def shown_error(error: ErrorStatus | None) -> dict[str, Any] | None:
    """The error of a step or a job as its owner may see it."""
    if error is None:
        return None
    return {
        "code": error.code,
        "kind": error.kind,
        "message": shown_message(error.code, error.message),
        "step": error.step,
        "item": error.item,
    }
