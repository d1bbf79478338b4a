"""Calls a step's function and reads what came of it."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

from headrace.errors import LeaseLostError
from headrace.reliability.surroundings import PLACE
from headrace.store.entries import StepRow
from headrace.store.failpoints import hit
from headrace.store.failures import is_unavailable
from headrace.worker import report
from headrace.worker.arguments import UnreadableError, fill, fill_plain, fill_texts
from headrace.worker.collecting import delegate
from headrace.worker.context import AsyncContext
from headrace.worker.outcomes import (
    CutOff,
    Done,
    Failed,
    Interrupted,
    Lost,
    Outcome,
    Parked,
    Skipped,
    Stored,
    read_error,
    timed_out,
)
from headrace.worker.run import Stop
from headrace.worker.threads import call_in_thread
from headrace.worker.transaction import insert_step, was_stored

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.worker.attempt import Attempt
    from headrace.worker.engine import Engine
    from headrace.worker.processes import StepProcesses


async def perform(
    attempt: Attempt, engine: Engine, ended: Callable[[Attempt, Outcome, str | None], None]
) -> None:
    """Run one attempt, and tell its outcome, with the reference of an output that is kept aside.

    Never raises: whatever a step does is an outcome.
    """
    step = attempt.step
    if attempt.cause is not None:  # before it began
        ended(attempt, await _stopped(attempt), None)
        return
    report.attempt_began(attempt)
    PLACE.set(attempt)  # for this task, and for what it starts
    if step.runs_in == "process" and engine.processes is not None:
        ended(attempt, *await _perform_apart(attempt, engine, engine.processes))
        return
    reference: str | None = None
    outcome: Outcome
    try:
        arguments = fill_plain(attempt)
        if arguments is None:
            arguments = await fill(attempt, engine)
        if step.is_async:
            value = await step.function(**arguments)
        else:
            value = await call_in_thread(engine.threads, step.function, **arguments)
        hit("attempt.after_effect")
        if step.has_child and value is not None:
            ended(attempt, delegate(attempt, value), None)
            return
        text = step.output.encode(value)
        outcome = Done(text)
        if not engine.limits.keeps_inline(text):
            reference = await engine.artifacts.write(attempt, text)
        if attempt.transaction is not None and attempt.transaction.is_open:
            outcome = await _commit(attempt, text, reference, engine)
    except asyncio.CancelledError:
        outcome = await _stopped(attempt)
    except BaseException as error:  # noqa: BLE001 - a step may raise anything, even SystemExit
        await _undo(attempt)
        outcome = _read(attempt, error)
    ended(attempt, outcome, reference)


async def _perform_apart(
    attempt: Attempt, engine: Engine, processes: StepProcesses
) -> tuple[Outcome, str | None]:
    """As `perform`, in a child process, which encodes the output itself."""
    try:
        texts = await fill_texts(attempt, engine)
        outcome = await processes.run(attempt, texts, AsyncContext(attempt, engine))
        if isinstance(outcome, Skipped):
            return outcome, None
        if not isinstance(outcome, Done):
            return _provoked(attempt) or outcome, None
        hit("attempt.after_effect")
        if not engine.limits.keeps_inline(outcome.text):
            return outcome, await engine.artifacts.write(attempt, outcome.text)
    except asyncio.CancelledError:
        return await _stopped(attempt), None
    except Exception as error:  # noqa: BLE001 - what was stored cannot be read, or not be kept
        return _read(attempt, error), None
    return outcome, None


async def _commit(attempt: Attempt, text: str, reference: str | None, engine: Engine) -> Outcome:
    """Commit the step's own transaction, its checkpoint included."""
    step, transaction = attempt.step, attempt.transaction
    assert transaction is not None  # noqa: S101 - for the type checker
    latency_us = int((monotonic() - attempt.started) * 1_000_000)
    row = StepRow(step.name, attempt.item, step.position, attempt.number, latency_us, text)
    if reference is not None:
        row.output, row.artifact = None, reference
    row.metadata = attempt.metadata_text
    try:
        await transaction.commit(lambda at: insert_step(at, attempt, row, engine.worker))
    except LeaseLostError:
        return Lost()
    except asyncio.CancelledError:
        if transaction.is_committed:
            return Stored(text)
        _read_again(attempt)
        raise
    except Exception as error:
        if not is_unavailable(error):
            raise
        return await _look_up(attempt, text, engine)
    return Stored(text)


def _read_again(attempt: Attempt) -> None:
    """Nobody knows what is stored: the job is released, and its next claim reads it."""
    attempt.run.stop = attempt.run.stop or Stop("released")


async def _look_up(attempt: Attempt, text: str, engine: Engine) -> Outcome:
    """The reply to the commit was lost: was it stored?"""
    try:
        return Stored(text) if await was_stored(attempt, engine) else CutOff()
    except LeaseLostError:
        return Lost()
    except asyncio.CancelledError:
        _read_again(attempt)
        raise


async def _stopped(attempt: Attempt) -> Outcome:
    await _undo(attempt)
    if attempt.cause == "timeout":
        return timed_out(attempt.step, attempt.deadline - attempt.started)
    if attempt.cause is None:
        return Failed("unknown", "CancelledError", "the step cancelled itself")
    return Interrupted()


def _read(attempt: Attempt, error: BaseException) -> Outcome:
    if isinstance(error, UnreadableError):
        return Parked(str(error))
    return _provoked(attempt) or read_error(error, attempt.step)


def _provoked(attempt: Attempt) -> Outcome | None:
    """A failure that our own cancel provoked is that cancel, whatever its type."""
    if attempt.cause == "timeout":
        return timed_out(attempt.step, attempt.deadline - attempt.started)
    if attempt.cause is not None and not attempt.step.is_async:
        return Interrupted()
    if attempt.transaction is not None and attempt.transaction.was_cut:
        return CutOff()
    return None


async def _undo(attempt: Attempt) -> None:
    if attempt.transaction is not None:
        await attempt.transaction.roll_back()
