"""What the executor tells telemetry; built only where somebody listens."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

from headrace.store.entries import End
from headrace.telemetry.events import counting, emit, enabled
from headrace.telemetry.job_events import (
    DeadLettered,
    IdempotentSkip,
    JobCancelled,
    JobClaimed,
    JobCompleted,
    JobDeferred,
    JobFailed,
    JobReleased,
    JobRetryScheduled,
    JobStarted,
    JobTimeout,
    JobUnclaimable,
    StaleWriteRefused,
    UndoStarted,
)
from headrace.telemetry.step_events import StepCompleted, StepFailed, StepSkipped, StepStarted
from headrace.telemetry.worker_events import BatchClaimed
from headrace.worker.outcomes import Done, Failed, Skipped, Stored

if TYPE_CHECKING:
    from typing import Any

    from headrace.store.entries import Committed, Move, Release
    from headrace.worker.attempt import Attempt
    from headrace.worker.claim import Claim
    from headrace.worker.outcomes import Outcome
    from headrace.worker.run import JobRun

TIME_LIMITS: Final = frozenset({"job_timeout", "deadline_exceeded"})
"""The causes of failures that are told as a job's timeout."""


def batch_claimed(worker_id: str, jobs: int, waited_s: float) -> None:
    """A claim took jobs."""
    if enabled(BatchClaimed):
        latency_ms = round(1_000 * waited_s, 3)
        emit(BatchClaimed(worker_id=worker_id, jobs=jobs, latency_ms=latency_ms))


def undo_started(run: JobRun) -> None:
    """An undo job was taken for the first time."""
    undoing = run.undoing
    if undoing is not None and enabled(UndoStarted):
        emit(
            UndoStarted(
                **_job(run.claim),
                undone_job_id=undoing.job,
                undone_run=undoing.run,
                steps=tuple(step.undoes or "" for step in run.graph.steps.values()),
            )
        )


def wants_claims() -> bool:
    """Whether anybody listens to claims."""
    return enabled(JobStarted) or enabled(JobClaimed)


def claimed(claim: Claim, lease_s: float) -> None:
    """A job was taken."""
    waited_ms = max(0.0, 1000 * claim.late_s)
    tally = counting(JobClaimed)
    if tally is not None:
        tally.count(JobClaimed, ("job_claimed", claim.pipeline.name, claim.queue), waited_ms)
    elif enabled(JobClaimed):
        emit(JobClaimed(**_job(claim), queue_latency_ms=waited_ms, lease_s=lease_s))
    if not claim.first_of_run:
        return
    tally = counting(JobStarted)
    if tally is not None:
        tally.count(JobStarted, ("job_started", claim.pipeline.name, claim.queue), waited_ms)
    elif enabled(JobStarted):
        emit(JobStarted(**_job(claim), queue_latency_ms=waited_ms, lease_s=lease_s))


def attempt_began(attempt: Attempt) -> None:
    """A step's function is about to be called."""
    if enabled(StepStarted):
        tally = counting(StepStarted)
        if tally is None:
            emit(StepStarted(**_step(attempt)))
        else:
            claim = attempt.run.claim
            words = ("step_started", claim.pipeline.name, claim.queue, attempt.step.name)
            tally.count(StepStarted, words)


def attempt_ended(attempt: Attempt, outcome: Outcome, now: float) -> None:
    """A step or item came to an outcome."""
    kind = type(outcome)
    if kind is Done or kind is Stored:
        if enabled(StepCompleted):
            _step_completed(attempt, 1000 * (now - attempt.started))
    elif isinstance(outcome, Failed):
        emit(
            StepFailed(
                **_step(attempt),
                latency_ms=1000 * (now - attempt.started),
                error_code=outcome.code,
                error=outcome.message,
                error_class=outcome.kind,
            )
        )
    elif isinstance(outcome, Skipped):
        emit(StepSkipped(**_step(attempt), reason=outcome.reason))


def _step_completed(attempt: Attempt, latency_ms: float) -> None:
    tally = counting(StepCompleted)
    if tally is None:
        emit(StepCompleted(**_step(attempt), latency_ms=latency_ms))
        return
    claim = attempt.run.claim
    words = ("step_completed", claim.pipeline.name, claim.queue, attempt.step.name)
    tally.count(StepCompleted, words, latency_ms)


def left(run: JobRun, move: Move, outcome: Committed) -> None:
    """A job has left this worker's hands, durably."""
    if isinstance(move, End):
        _ended(run, move, outcome.state or move.state)
    else:
        _released(run, move, outcome.state)


def stale(run: JobRun) -> None:
    """A write was refused because the job has another holder."""
    emit(StaleWriteRefused(**_job(run.claim)))


def skipped(claim: Claim, reason: str) -> None:
    """A step asked for what was done before."""
    if enabled(IdempotentSkip):
        emit(IdempotentSkip(**_job(claim), reason=reason))


def _ended(run: JobRun, move: End, state: str) -> None:
    if state == "completed":
        if enabled(JobCompleted):
            _completed(run)
        return
    latency = _latency(run)
    if state == "cancelled":
        emit(
            JobCancelled(
                **_job(run.claim),
                actor="step" if run.cancel_note else "user",
                job_latency_ms=latency,
            )
        )
    else:
        failure = run.failure
        common = {
            "cause": move.cause or "",
            "step": move.step,
            "item": move.item,
            "error_code": failure.code if failure else None,
        }
        kind = JobTimeout if move.cause in TIME_LIMITS else JobFailed
        emit(
            kind(
                **_job(run.claim),
                **common,  # type: ignore[arg-type]
                job_latency_ms=latency,
                error=failure.message if failure else None,
            )
        )
        attempts = max((tally.attempts for tally in run.tallies.values()), default=0)
        emit(DeadLettered(**_job(run.claim), **common, attempts=attempts))  # type: ignore[arg-type]


def _completed(run: JobRun) -> None:
    tally = counting(JobCompleted)
    if tally is None:
        emit(JobCompleted(**_job(run.claim), job_latency_ms=_latency(run)))
    else:
        words = ("job_completed", run.claim.pipeline.name, run.claim.queue)
        tally.count(JobCompleted, words, _latency(run))


def _released(run: JobRun, move: Release, state: str | None) -> None:
    if state == "cancelled":
        emit(JobCancelled(**_job(run.claim), actor="user", job_latency_ms=_latency(run)))
    elif move.reason == "unclaimable":
        emit(JobUnclaimable(**_job(run.claim), reason=move.error or ""))
    elif move.reason == "released":
        emit(JobReleased(**_job(run.claim), wait_reason=move.reason, reason="shutdown"))
    else:
        _waiting(run, move)


def _waiting(run: JobRun, move: Release) -> None:
    from datetime import UTC, datetime, timedelta  # noqa: PLC0415 - rare

    due_at = datetime.now(UTC) + timedelta(seconds=move.wait_s)
    if move.reason == "retry":
        attempts = max((tally.attempts for tally in run.tallies.values()), default=0)
        emit(
            JobRetryScheduled(
                **_job(run.claim), due_at=due_at, wait_reason=move.reason, attempts=attempts
            )
        )
    else:
        emit(JobDeferred(**_job(run.claim), due_at=due_at, wait_reason=move.reason))


def _latency(run: JobRun) -> float:
    return 1000 * (run.claim.age_s + monotonic() - run.started_at)


def _job(claim: Claim) -> dict[str, Any]:
    return {
        "job_id": claim.job,
        "run": claim.run,
        "pipeline": claim.pipeline.name,
        "version": claim.version,
        "queue": claim.queue,
        "tenant": claim.tenant,
        "token": claim.token,
        "worker_id": str(claim.worker),
        "correlation_id": claim.correlation_id,
    }


def _step(attempt: Attempt) -> dict[str, Any]:
    return {
        **_job(attempt.run.claim),
        "step": attempt.step.name,
        "item": attempt.item or None,
        "attempt": attempt.number,
    }
