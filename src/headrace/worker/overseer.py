"""Looks after running attempts: their limits, and those that will not stop.

One pass over everything that runs, ten times a second, costs less than a timer for each attempt:
a step that ends at once never pays for a limit that it does not reach.
"""

from __future__ import annotations

from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Final

from headrace.telemetry.events import emit
from headrace.telemetry.step_events import StepAbandoned
from headrace.worker.failure import Failure
from headrace.worker.outcomes import Interrupted, timed_out
from headrace.worker.run import Stop
from headrace.worker.service import PeriodicService

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.worker.attempt import Attempt
    from headrace.worker.executor import Executor
    from headrace.worker.run import JobRun
    from headrace.worker.timing import Timing

EVERY: Final = timedelta(seconds=0.1)


class Overseer(PeriodicService):
    """Enforces the limits of steps and jobs.

    Args:
        on_crowded: Called when abandoned steps fill half the slots: the process is to be replaced.
    """

    def __init__(
        self,
        executor: Executor,
        *,
        worker: int,
        timing: Timing,
        concurrency: int,
        on_crowded: Callable[[], None],
    ) -> None:
        super().__init__(
            "overseer", every=min(EVERY, timing.progress_after / 4), worker_id=str(worker),
            timing=timing, jitter=0,
        )  # fmt: skip
        self._executor, self._worker = executor, worker
        self._concurrency, self._on_crowded = concurrency, on_crowded
        self._kill_s = timing.cancel_kill.total_seconds()

    async def tick(self) -> None:
        """Look at everything that runs once."""
        now = monotonic()
        for run in list(self._executor.runs.values()):
            if not run.dead and run.limit_at is not None and now > run.limit_at:
                self._end_job(run, now)
            due = bool(run.waits) and min(run.waits.values()) <= now
            for attempt in list(run.running.values()):
                self._check(attempt, now)
            if due and run.running and not run.dead:
                self._executor.advance(run)

    def _end_job(self, run: JobRun, now: float) -> None:
        run.limit_at = None
        if run.failure is None and run.left:
            cause = run.claim.limit_cause
            text = (
                "its deadline passed while it ran"
                if cause == "deadline_exceeded"
                else f"it ran longer than its limit; {now - run.started_at:.0f} s since this claim"
            )
            run.failure = Failure(cause, cause.upper(), "timeout", text)
            self._executor.cancel_all(run, "limit")
            self._executor.advance(run)

    def _check(self, attempt: Attempt, now: float) -> None:
        if attempt.cancelled_at is None:
            if now > attempt.deadline and attempt.task is not None:
                attempt.cancel("timeout", now)
        elif now - attempt.cancelled_at > self._kill_s:
            self._abandon(attempt, now)
            if self._executor.abandoned * 2 >= self._concurrency:
                self._on_crowded()

    def abandon_all(self) -> None:
        """Give up whatever still runs: the worker ends, and its jobs are needed elsewhere."""
        now = monotonic()
        for run in list(self._executor.runs.values()):
            for attempt in list(run.running.values()):
                self._abandon(attempt, now)

    def _abandon(self, attempt: Attempt, now: float) -> None:
        """A step that will not stop keeps its task, and loses its job."""
        executor, run = self._executor, attempt.run
        waited_s = now - (attempt.cancelled_at or now)
        limit_s = attempt.deadline - attempt.started
        timeout = attempt.cause == "timeout"
        # Released, so that the next claim's token makes whatever it still writes stale.
        run.stop = run.stop or Stop("released")
        executor.ended(attempt, timed_out(attempt.step, limit_s) if timeout else Interrupted())
        attempt.abandoned = True
        executor.abandoned += 1
        claim = run.claim
        emit(
            StepAbandoned(
                job_id=claim.job, run=claim.run, pipeline=claim.pipeline.name,
                step=attempt.step.name, item=attempt.item or None, attempt=attempt.number,
                waited_s=waited_s, abandoned=executor.abandoned,
            )
        )  # fmt: skip
