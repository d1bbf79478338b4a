"""Children: what a step returned that ends with another job, and that job's result."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from headrace.errors import (
    CodecError,
    JobCancelledError,
    JobFailedError,
    NotCompletedError,
    NotFoundError,
)
from headrace.model.annotations import type_text
from headrace.model.awaited import is_handle
from headrace.model.fitting import fit
from headrace.worker.outcomes import (
    CutOff,
    Delegated,
    Done,
    Failed,
    Interrupted,
    Outcome,
    fit_text,
    read_error,
    timed_out,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.worker.attempt import Attempt
    from headrace.worker.engine import Engine


def delegate(attempt: Attempt, value: object) -> Outcome:
    """What a step came to that is to return a child job."""
    step = attempt.step
    wanted = type_text(step.output.annotation)
    if not is_handle(type(value)):
        return _refused(
            f"step {step.name} returned {type(value).__name__}, and is annotated with "
            f"JobHandle[{wanted}]: return what `await ctx.submit(...)` gave"
        )
    child: str = value.id  # type: ignore[attr-defined]  # as all handles
    pipeline = (attempt.children or {}).get(child)
    if pipeline is None:
        return _refused(
            f"step {step.name} returned job {child}, which it has not submitted in this try: "
            "return what `await ctx.submit(...)` gave"
        )
    if fit(pipeline.output.annotation, step.output.annotation) is None:
        return _refused(
            f"step {step.name} returned a job of {pipeline.name}, whose result is "
            f"{pipeline.output.type_name}, and is annotated with JobHandle[{wanted}]"
        )
    return Delegated(child)


def _refused(message: str) -> Failed:
    return Failed("permanent", "CHILD_TYPE", message, retried=False)


async def collect(
    attempt: Attempt, engine: Engine, ended: Callable[[Attempt, Outcome, str | None], None]
) -> None:
    """Fetch the result of a child that has ended, and tell it as the step's; never raises."""
    reference: str | None = None
    outcome: Outcome
    try:
        text = await engine.client.read_result(attempt.child or "")
        attempt.step.output.decode(text)  # as later steps will
        outcome = Done(text)
        if not engine.limits.keeps_inline(text):
            reference = await engine.artifacts.write(attempt, text)
    except asyncio.CancelledError:
        outcome = Interrupted()
        if attempt.cause == "timeout":
            outcome = timed_out(attempt.step, attempt.deadline - attempt.started)
    except Exception as error:  # noqa: BLE001 - whatever kept it from us
        outcome = _read(attempt, error)
    ended(attempt, outcome, reference)


def _read(attempt: Attempt, error: Exception) -> Outcome:
    child = f"the child job {attempt.child}"
    if isinstance(error, JobFailedError):
        return _failed(
            "CHILD_FAILED", f"{child} failed ({error.error_code or error.cause}): {error.message}"
        )
    if isinstance(error, JobCancelledError):
        return _failed("CHILD_CANCELLED", f"{child} was cancelled")
    if isinstance(error, NotCompletedError) and error.state != "erased":
        return CutOff()  # somebody runs it again: the step finds it, and waits for it
    if isinstance(error, NotFoundError | NotCompletedError):
        return _failed("CHILD_GONE", f"{child} is not there any more")
    if isinstance(error, CodecError):
        return _failed("CHILD_TYPE", f"the result of {child} does not fit: {error}")
    return read_error(error, attempt.step)


def _failed(code: str, message: str) -> Failed:
    return Failed("permanent", code, fit_text(message), retried=False)
