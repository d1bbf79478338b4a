"""Calls a step's function and reads what came of it."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any

from headrace.errors import LeaseLostError
from headrace.store.entries import StepRow
from headrace.store.failpoints import hit
from headrace.store.failures import is_unavailable
from headrace.worker.arguments import UnreadableError, fill, fill_plain
from headrace.worker.outcomes import (
    Done,
    Failed,
    Interrupted,
    Outcome,
    Parked,
    Stored,
    read_error,
    timed_out,
)
from headrace.worker.transaction import insert_step, was_stored

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.worker.attempt import Attempt
    from headrace.worker.engine import Engine


async def perform(
    attempt: Attempt, engine: Engine, ended: Callable[[Attempt, Outcome, str | None], None]
) -> None:
    """Run one attempt, and tell its outcome, with the reference of an output that is kept aside.

    Never raises: whatever a step does is an outcome.
    """
    step = attempt.step
    reference: str | None = None
    outcome: Outcome
    try:
        arguments = fill_plain(attempt)
        if arguments is None:
            arguments = await fill(attempt, engine)
        if step.is_async:
            value = await step.function(**arguments)
        else:
            value = await _call_plain(attempt, arguments, engine)
        hit("attempt.after_effect")
        text = step.output.encode(value)
        outcome = Done(text)
        if len(text) > engine.limits.inline_most:
            reference = await engine.artifacts.write(attempt, text)
        if attempt.transaction is not None and attempt.transaction.is_open:
            outcome = await _commit(attempt, text, reference, engine)
    except UnreadableError as error:
        outcome = Parked(str(error))
    except asyncio.CancelledError:
        outcome = await _stopped(attempt)
    except BaseException as error:  # noqa: BLE001 - a step may raise anything, even SystemExit
        await _undo(attempt)
        outcome = _read(attempt, error)
    ended(attempt, outcome, reference)


async def _call_plain(attempt: Attempt, arguments: dict[str, Any], engine: Engine) -> Any:  # noqa: ANN401
    step = attempt.step
    if step.runs_in == "process" and engine.processes is not None:
        return await engine.processes.run(attempt, arguments)
    function = step.function
    return await engine.loop.run_in_executor(engine.threads, lambda: function(**arguments))


async def _commit(attempt: Attempt, text: str, reference: str | None, engine: Engine) -> Outcome:
    """Commit the step's own transaction, its checkpoint included."""
    step, transaction = attempt.step, attempt.transaction
    assert transaction is not None  # noqa: S101 - for the type checker
    latency_us = int((monotonic() - attempt.started) * 1_000_000)
    row = StepRow(step.name, attempt.item, step.position, attempt.number, latency_us, text)
    if reference is not None:
        row.output, row.artifact = None, reference
    try:
        await transaction.commit(lambda at: insert_step(at, attempt, row, engine.worker))
    except LeaseLostError:
        return Interrupted()
    except Exception as error:
        if not is_unavailable(error):
            raise
        return Stored(text) if await was_stored(attempt, engine) else Interrupted()
    return Stored(text)


async def _stopped(attempt: Attempt) -> Outcome:
    await _undo(attempt)
    if attempt.cause == "timeout":
        return timed_out(attempt.step, attempt.deadline - attempt.started)
    if attempt.cause is None:
        return Failed("unknown", "CancelledError", "the step cancelled itself")
    return Interrupted()


def _read(attempt: Attempt, error: BaseException) -> Outcome:
    """An exception that our own cancel provoked is that cancel, whatever its type."""
    if attempt.cause == "timeout":
        return timed_out(attempt.step, attempt.deadline - attempt.started)
    if attempt.cause is not None and not attempt.step.is_async:
        return Interrupted()
    return read_error(error, attempt.step)


async def _undo(attempt: Attempt) -> None:
    if attempt.transaction is not None:
        await attempt.transaction.roll_back()
