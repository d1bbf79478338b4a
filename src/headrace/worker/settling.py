"""From outcomes to what is stored: decided on a job's state, without any I/O."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from headrace.store.entries import End, Release, StepRow, TryRow
from headrace.worker.failure import Failure
from headrace.worker.holding import CHILD_LOOK_S, await_child
from headrace.worker.outcomes import (
    Cancelled,
    CutOff,
    Deferred,
    Delegated,
    Done,
    Failed,
    Parked,
    Planned,
    Skipped,
    Stored,
    fit_text,
)
from headrace.worker.run import Stop

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.store.entries import Move
    from headrace.worker.attempt import Attempt
    from headrace.worker.holding import Holds
    from headrace.worker.outcomes import Outcome
    from headrace.worker.run import JobRun, Tally

TIMEOUT_RETRIES: Final = 2
TIMEOUT_WAIT_S: Final = 2.0
CUT_OFF_WAIT_S: Final = 1.0
CANCELLED: Final = End("cancelled", "cancelled")
UNDO_GOES_ON: Final = Failed(
    "permanent",
    "UNDO_CANCELLED",
    "an undo cannot cancel its job: raise another error",
    retried=False,
)
WAIT_REASONS: Final = MappingProxyType(
    {
        "rate_limited": "rate_limited",
        "unavailable": "breaker_open",
        "budget": "budget",
        "lock_busy": "lock_busy",
    }
)
"""What a job waits for whose step was put off, by the class of the try."""
PARKED_WAIT_S: Final = 86_400.0
"""A parked job is looked at again when a worker registers its pipeline, and once a day."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The limits that outcomes are judged by.

    Attributes:
        wait_in_place_s: The longest wait during which a job keeps its slot.
        max_wait_s: The longest that a job may wait in all without using attempts.
        random: Gives the random share of a retry's wait.
    """

    wait_in_place_s: float
    max_wait_s: float
    random: Callable[[], float]


def settle(
    attempt: Attempt, outcome: Outcome, now: float, policy: Policy, artifact: str | None = None
) -> None:
    """Write an attempt's outcome into its job's draft, and note what follows from it."""
    run, step = attempt.run, attempt.step
    latency_us = int((now - attempt.started) * 1_000_000)
    if type(outcome) is Done:
        row = StepRow(
            step.name, attempt.item, step.position, attempt.number, latency_us, outcome.text
        )
        if artifact is not None:
            row.output, row.artifact = None, artifact
        if attempt.metadata is not None:
            row.metadata = attempt.metadata_text
        run.entry().add_step(row)
        run.outcome_known(step, attempt.item)
    elif isinstance(outcome, Stored):
        run.outcome_known(step, attempt.item)
        row = StepRow(step.name, attempt.item, step.position, 1, 0, outcome.text)
        row.artifact = artifact
        run.store(row)
    elif isinstance(outcome, Delegated):
        await_child(run, attempt.key, outcome.child)
    elif isinstance(outcome, Planned):
        run.entry().add_step(
            StepRow(step.name, "", step.position, 1, latency_us, outcome.text, state="planned")
        )
    elif isinstance(outcome, Skipped):
        run.entry().add_step(
            StepRow(
                step.name, attempt.item, step.position, attempt.number, latency_us, None,
                state="skipped", reason=outcome.reason, metadata=attempt.metadata_text,
            )
        )  # fmt: skip
        run.outcome_known(step, attempt.item)
    else:
        _settle_unfinished(attempt, outcome, now, policy, latency_us)
    if attempt.shown or run.recorded:
        _forget_start(attempt)


def _settle_unfinished(
    attempt: Attempt, outcome: Outcome, now: float, policy: Policy, latency_us: int
) -> None:
    run = attempt.run
    if isinstance(outcome, Cancelled) and run.undoing is not None:
        outcome = UNDO_GOES_ON
    if isinstance(outcome, Failed):
        _fail(attempt, outcome, now, policy, latency_us)
    elif isinstance(outcome, Deferred):
        _defer(attempt, outcome, now, policy, latency_us)
    elif isinstance(outcome, Cancelled):
        run.cancelled = True
        run.cancel_note = _note("CANCELLED", outcome.reason or "a step asked for it")
    elif isinstance(outcome, Parked):
        run.stop = Stop(
            "unclaimable", PARKED_WAIT_S, _note("CHECKPOINT_UNREADABLE", outcome.reason)
        )
        run.put_back(attempt.step, attempt.item)
    else:
        if isinstance(outcome, CutOff):
            run.wait(attempt.key, now + CUT_OFF_WAIT_S * policy.random())
        run.put_back(attempt.step, attempt.item)


def _fail(attempt: Attempt, failed: Failed, now: float, policy: Policy, latency_us: int) -> None:
    run, step = attempt.run, attempt.step
    tally = run.tally(attempt.key)
    tally.attempts, tally.failures = tally.attempts + 1, tally.failures + 1
    if failed.kind == "timeout":
        tally.timeouts += 1
    wait_s = _retry_wait(attempt, failed, tally, policy)
    run.entry().add_try(
        TryRow(
            step.name, attempt.item, tally.attempts, latency_us, failed.kind, failed.code,
            failed.message, failed.detail, wait_s,
        )
    )  # fmt: skip
    if wait_s is not None:
        run.wait(attempt.key, now + wait_s)
        run.put_back(step, attempt.item)
        return
    cause = "budget_exhausted" if failed.kind == "budget" else "permanent_error"
    if failed.retried:
        cause = "step_timeout" if failed.kind == "timeout" else "attempts_exhausted"
    failure = Failure(
        cause, failed.code, failed.kind, failed.message, step.name, attempt.item or None
    )
    _give_up(attempt, failure, latency_us)


def _give_up(attempt: Attempt, failure: Failure, latency_us: int) -> None:
    """There is no further try: the job has failed, or only the item if it can do without."""
    run, step, item = attempt.run, attempt.step, attempt.item
    if not item or step.each is None or step.each.at_least is None:
        run.failure = run.failure or failure
        return
    run.entry().add_step(
        StepRow(
            step.name, item, step.position, run.tally(attempt.key).attempts, latency_us,
            failure.as_item(), state="failed", metadata=attempt.metadata_text,
        )
    )  # fmt: skip
    run.fail_item(step, item, failure)


def _retry_wait(attempt: Attempt, failed: Failed, tally: Tally, policy: Policy) -> float | None:
    """Seconds until the next try; None when there is none."""
    retry = attempt.step.retry
    if not failed.retried or tally.failures >= retry.attempts:
        return None
    wait_s = retry.delay(tally.failures, policy.random).total_seconds()
    if failed.kind == "timeout":
        if tally.timeouts > TIMEOUT_RETRIES:
            return None
        return max(wait_s, TIMEOUT_WAIT_S)
    return wait_s


def _defer(
    attempt: Attempt, deferred: Deferred, now: float, policy: Policy, latency_us: int
) -> None:
    run, step = attempt.run, attempt.step
    tally = run.tally(attempt.key)
    if deferred.most and tally.busy >= deferred.most:
        _fail(attempt, Failed("transient", deferred.code, deferred.reason), now, policy, latency_us)
        return
    tally.attempts += 1
    tally.busy += deferred.kind == "lock_busy"
    has_waited = run.claim.waited_s + deferred.wait_s > policy.max_wait_s
    run.entry().add_try(
        TryRow(
            step.name, attempt.item, tally.attempts, latency_us, deferred.kind, deferred.code,
            deferred.reason or "the step asked to be run later", None,
            None if has_waited else deferred.wait_s,
        )
    )  # fmt: skip
    if has_waited:
        failure = Failure(
            "wait_limit",
            "WAIT_LIMIT",
            deferred.kind,
            f"step {step.name} asked for another {deferred.wait_s:g} s, after "
            f"{run.claim.waited_s:g} s; a job may wait {policy.max_wait_s:g} s in all",
            step.name,
            attempt.item or None,
        )
        _give_up(attempt, failure, latency_us)
        return
    run.wait(attempt.key, now + deferred.wait_s)
    run.put_back(step, attempt.item)


def _forget_start(attempt: Attempt) -> None:
    """A start that was put on record, or shown, has ended."""
    run = attempt.run
    if attempt.key in run.recorded:
        run.recorded -= {attempt.key}
        run.entry().add_clear(attempt.key)
        if run.forget_suspicion(attempt.key):
            run.entry().set_calm()
    elif attempt.shown:
        run.entry().add_clear(attempt.key)


def decide(run: JobRun, policy: Policy) -> Move | None:
    """Where a job goes that has nothing running; None while it stays.

    Called when nothing of it is on its way to the database but the draft.
    """
    if run.running:
        return None
    if run.failure is not None:
        return _failed_end(run.failure)
    if run.cancelled:
        return CANCELLED if run.cancel_note is None else _cancelled_by_step(run.cancel_note)
    if not run.left:
        return run.blueprint.completion
    if run.stop is not None:
        return Release(run.stop.wait_s, run.stop.reason, run.stop.error)
    # What is on its way to the database may let other steps start.
    storing = run.draft is not None and run.draft.steps
    return None if storing else _wait(run, policy)


def _cancelled_by_step(note: str) -> End:
    return End("cancelled", "cancelled", error=note)


def _wait(run: JobRun, policy: Policy) -> Move | None:
    holds = run.holds if run.holds is not None and run.holds.is_open else None
    if holds is not None and holds.ended:
        return None
    soon = [*run.waits.values(), *(() if holds is None else holds.delays())]
    if not soon and holds is None:
        return None
    now = monotonic()
    if soon and min(soon) - now <= policy.wait_in_place_s:
        return None
    if holds is not None:
        return _wait_for_others(run, holds, now)
    wait_s = min(soon) - now
    tries = () if run.draft is None else run.draft.tries
    reasons = [WAIT_REASONS[row.kind] for row in tries if row.kind in WAIT_REASONS]
    return Release(wait_s, reasons[-1] if reasons else "retry")


def _wait_for_others(run: JobRun, holds: Holds, now: float) -> Release:
    """Back into the queue until something comes, or the first time is over."""
    signals = holds.awaited_signals()
    children = list(holds.children.values())
    reason = "external" if signals else "child" if children else "delay"
    times = [*run.waits.values(), *holds.times()]
    wait_s = max(0.0, min(times) - now) if times else CHILD_LOOK_S
    return Release(wait_s, reason, signals=signals, children=children)


def _failed_end(failure: Failure) -> End:
    return End(
        "failed",
        failure.cause,
        cause=failure.cause,
        error=failure.as_json(),
        step=failure.step,
        item=failure.item,
    )


def _note(code: str, message: str) -> str:
    return Failure("", code, "permanent", fit_text(message)).as_json()
