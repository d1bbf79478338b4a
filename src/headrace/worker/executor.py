"""Runs claimed jobs: starts what is due, and gives outcomes to the ledger.

A job's state is a `JobRun`, which decides; the executor only acts on it. There is one task for
each attempt of a step, and none for a job: when the ledger has committed an entry, it calls
`settled`, and what the commit made possible is started there.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Final

from headrace.errors import LeaseLostError, OutputError
from headrace.store.entries import Committed, Refused, Stale
from headrace.telemetry.tracing import adopt_tracing
from headrace.worker import report
from headrace.worker.attempt import Attempt
from headrace.worker.collecting import collect
from headrace.worker.failure import Failure
from headrace.worker.gating import Gates
from headrace.worker.holding import admit
from headrace.worker.outcomes import Interrupted, Lost
from headrace.worker.performing import perform
from headrace.worker.planning import plan
from headrace.worker.run import JobRun, Stop
from headrace.worker.settling import Policy, decide, settle
from headrace.worker.stored import as_output
from headrace.worker.traced import traced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from uuid import UUID

    from headrace.model.step import Step
    from headrace.store.entries import Entry, RecordRow
    from headrace.store.entries import Outcome as Fate
    from headrace.store.ledger import Ledger
    from headrace.worker.attempt import Cause
    from headrace.worker.claim import Claim
    from headrace.worker.engine import Engine
    from headrace.worker.outcomes import Outcome
    from headrace.worker.run import RecordKey

LEASE_CHECK_S: Final = 0.05


class Executor:
    """The jobs in a worker's hands.

    Args:
        engine: What attempts share.
        ledger: Where everything is stored.
        policy: By which outcomes are judged.
        on_room: Called when a job has left its slot.
        ask_lease: Whether the worker's lease allows new steps.
    """

    def __init__(
        self,
        engine: Engine,
        ledger: Ledger,
        policy: Policy,
        *,
        on_room: Callable[[], None] = lambda: None,
        ask_lease: Callable[[], bool] = lambda: True,
    ) -> None:
        self.engine, self._ledger, self._policy, self._on_room = engine, ledger, policy, on_room
        self.gates = Gates(engine.worker)
        self._ask_lease, self._lease_held, self._lease_seen = ask_lease, True, 0.0
        self.runs: dict[tuple[UUID, int], JobRun] = {}
        self.leaving = 0
        self.abandoned = 0
        self.suspects = 0
        self.completed = 0
        self.released = 0
        self.halted: Cause | None = None
        self.left: dict[int, int] = {}
        tracing = adopt_tracing()
        self._perform = perform if tracing is None else traced(perform, tracing)
        self._loop = engine.loop
        self._step_timeout_s = engine.limits.step_timeout_s

    @property
    def busy(self) -> int:
        """Slots in use: jobs whose end is not yet on its way to the database."""
        return len(self.runs) - self.leaving

    # --- jobs come and go -------------------------------------------------------------------------

    def begin(self, claim: Claim) -> JobRun:
        """Take a job of which nothing is stored yet; `advance` starts it."""
        return self.take(self.make(claim))

    def make(self, claim: Claim) -> JobRun:
        """A job's state, not yet in these hands."""
        return JobRun(claim, self, monotonic())

    def take(self, run: JobRun) -> JobRun:
        """Take a job whose state is complete."""
        self.runs[run.claim.job, run.claim.token] = run
        run.began_alone = run.alone
        self.suspects += run.began_alone
        return run

    def advance(self, run: JobRun) -> None:
        """Start what may start, and store what there is to store."""
        if run.is_holding and not run.is_halted and self.halted is None:
            self._admit(run)
        if run.ready and not run.is_halted and self.halted is None:
            now = monotonic()
            if self._has_lease(now):
                for step, item in run.take(now):
                    self._launch(run, step, item, now)
            else:
                self._loop.call_later(LEASE_CHECK_S, self._wake, run)
        self._push(run)

    def _admit(self, run: JobRun) -> None:
        """Let start what has what it waited for; fetch what children made."""
        now = monotonic()
        admit(run, now)
        holds = run.holding()
        if not holds.ended:
            return
        if not self._has_lease(now):
            self._loop.call_later(LEASE_CHECK_S, self._wake, run)
            return
        while holds.ended:
            (name, item), child = holds.ended.popleft()
            if item:
                run.fans[name].running += 1
            self._collect(run, run.graph.steps[name], item, child, now)

    def _collect(self, run: JobRun, step: Step, item: str, child: str, now: float) -> None:
        """Fetch the result of a child that has ended."""
        number = run.tally((step.name, item)).attempts + 1
        attempt = Attempt(
            run, step, item, number=number, started=now, deadline=now + self._step_timeout_s
        )
        attempt.child = child
        run.running[attempt.key] = attempt
        attempt.task = self._loop.create_task(collect(attempt, self.engine, self.ended))

    def _has_lease(self, now: float) -> bool:
        """Whether a step may start: not in a process that was frozen past its lease, and woke."""
        if now - self._lease_seen > LEASE_CHECK_S:
            self._lease_seen, self._lease_held = now, self._ask_lease()
        return self._lease_held

    def _push(self, run: JobRun) -> None:
        if run.in_flight is not None:
            return
        if run.dead:
            if not run.running:
                self._forget(run)
                self._on_room()
            return
        if self.halted == "shutdown" and run.stop is None and not run.running:
            run.stop = Stop("released")
        move = None if self.halted == "unreachable" else decide(run, self._policy)
        if move is not None:
            run.entry().move = move
            self.leaving += 1
            self._on_room()
        entry = run.draft
        if entry is None:
            self._wake_later(run)
            return
        run.draft, run.in_flight = None, entry
        self._ledger.write(entry)

    def _wake_later(self, run: JobRun) -> None:
        """A short wait is spent in place."""
        if run.running or run.is_halted or self.halted is not None:
            return
        times = [*run.waits.values(), *(() if run.holds is None else run.holds.delays())]
        if times:
            wait_s = max(0.0, min(times) - monotonic())
            self._loop.call_later(wait_s, self._wake, run)

    def _wake(self, run: JobRun) -> None:
        if (run.claim.job, run.claim.token) in self.runs:
            self.advance(run)

    def _forget(self, run: JobRun) -> None:
        claim = run.claim
        if self.runs.pop((claim.job, claim.token), None) is None:
            return
        if run.began_alone:
            self.suspects -= 1
        self.gates.left(claim.job, claim.token)
        left = self.left.get(claim.token)
        if left is not None:
            self.left[claim.token] = left - 1
        if not self.runs:
            self._on_room()

    # --- attempts ---------------------------------------------------------------------------------

    def _launch(self, run: JobRun, step: Step, item: str, now: float) -> None:
        key = (step.name, item)
        tally = run.tallies.get(key)
        number = 1 if tally is None else tally.attempts + 1
        limit_s = self._step_timeout_s
        if step.timeout is not None:
            limit_s = step.timeout.total_seconds()
        attempt = Attempt(run, step, item, number=number, started=now, deadline=now + limit_s)
        run.running[key] = attempt
        if run.watched:
            run.recorded |= {key}
            run.entry().add_start(key)
        else:
            self._start(attempt)

    def _start(self, attempt: Attempt) -> None:
        work = self._perform if attempt.item or attempt.step.each is None else plan
        attempt.task = self._loop.create_task(work(attempt, self.engine, self.ended))

    def ended(self, attempt: Attempt, outcome: Outcome, artifact: str | None = None) -> None:
        """An attempt has an outcome."""
        run = attempt.run
        if attempt.abandoned:  # it has come to its end after all
            self.abandoned -= 1
            return
        run.leave(attempt.step, attempt.item)
        if isinstance(outcome, Lost):
            self.lose(run)
            return
        if not run.dead:
            now = monotonic()
            report.attempt_ended(attempt, outcome, now)
            settle(attempt, outcome, now, self._policy, artifact)
            if run.cancelled and run.running:  # a step raised CancelJob
                self.cancel_all(run, "cancel")
        self.advance(run)

    # --- what the ledger says ---------------------------------------------------------------------

    def settled(self, entry: Entry, outcome: Fate) -> None:
        """The fate of a job's entry is known."""
        run: JobRun = entry.note
        run.in_flight = None
        if entry.move is not None:
            self.leaving -= 1
        if isinstance(outcome, Committed):
            self._committed(run, entry, outcome)
        elif isinstance(outcome, Stale):
            self.lose(run)
        else:
            self._refused(run, entry, outcome)

    def _committed(self, run: JobRun, entry: Entry, outcome: Committed) -> None:
        if entry.move is not None:
            report.left(run, entry.move, outcome)
            self._count(outcome.state)
            if run.blueprint.has_children and outcome.state in {"failed", "cancelled"}:
                self.engine.orphans.look_for(run.claim.job)
            run.dead = True
            self._forget(run)
            return
        for row in entry.steps:
            run.store(row)
        if entry.records:
            for record in entry.records:
                # Not by the step that waits: it may have been cancelled, and will start again.
                run.keep_record(record.key, as_output(record.output, record.artifact))
            _resolve(run, [record.key for record in entry.records], None)
        for key in entry.starts:
            attempt = run.running.get(key)
            if attempt is not None and attempt.task is None:
                self._start_recorded(run, attempt)
        self.advance(run)

    def _count(self, state: str | None) -> None:
        if state == "queued":
            self.released += 1
        elif state == "completed":
            self.completed += 1

    def _start_recorded(self, run: JobRun, attempt: Attempt) -> None:
        if run.is_halted or self.halted is not None:
            self.ended(attempt, Interrupted())
            return
        now = monotonic()
        attempt.deadline += now - attempt.started
        attempt.started = now
        self._start(attempt)

    def _refused(self, run: JobRun, entry: Entry, outcome: Refused) -> None:
        """The database will not store what the entry holds: the job fails and says why."""
        message = f"the database refused to store it: {outcome.error}"
        _resolve(run, [row.key for row in entry.records], OutputError("once", "$", message))
        step = entry.steps[0] if entry.steps else None
        run.failure = Failure(
            "permanent_error",
            "VALIDATION_ERROR",
            "permanent",
            message,
            step.step if step else None,
            step.item or None if step else None,
        )
        self.cancel_all(run, "limit")
        self.advance(run)

    def store_record(self, attempt: Attempt, row: RecordRow) -> asyncio.Future[None]:
        """Store a `once` record; the future is done when it is committed."""
        run = attempt.run
        future: asyncio.Future[None] = self._loop.create_future()
        if attempt.refused:
            future.set_exception(LeaseLostError(f"job {run.claim.job}", run.claim.token))
            return future
        run.entry().add_record(row)
        run.await_record(row.key, future)
        tally = run.tally(attempt.key)
        tally.failures = tally.timeouts = 0
        self._push(run)
        return future

    # --- what happens from outside ----------------------------------------------------------------

    def lose(self, run: JobRun) -> None:
        """The job is no longer ours: its steps are stopped, and nothing of it is stored."""
        if run.dead:
            self._push(run)
            return
        run.dead, run.draft = True, None
        report.stale(run)
        _resolve(run, list(run.keeping), LeaseLostError(f"job {run.claim.job}", run.claim.token))
        for key, attempt in list(run.running.items()):
            if attempt.task is None:
                run.leave(attempt.step, key[1])
        self.cancel_all(run, "stale")
        self._push(run)

    def cancel_job(self, job: UUID, token: int) -> None:
        """Somebody asked to cancel the job."""
        run = self.runs.get((job, token))
        if run is not None and not run.cancelled:
            run.cancelled = True
            self.cancel_all(run, "cancel")
            self.advance(run)

    def cancel_all(self, run: JobRun, cause: Cause) -> None:
        """Tell every running step of a job to stop."""
        now = monotonic()
        for attempt in list(run.running.values()):
            attempt.cancel(cause, now)

    def halt(self, cause: Cause) -> None:
        """Start nothing more."""
        self.halted = cause

    def resume(self) -> None:
        """Go on after a halt: the database is back."""
        if self.halted == "unreachable":
            self.halted = None
            self.advance_all(list(self.runs.values()))

    def advance_all(self, runs: Iterable[JobRun]) -> None:
        """As `advance`, for many."""
        for run in runs:
            self.advance(run)

    def lose_all(self) -> None:
        """This worker was marked lost."""
        for run in list(self.runs.values()):
            self.lose(run)


def _resolve(run: JobRun, keys: Iterable[RecordKey], error: Exception | None) -> None:
    """Tell the callers of `once` who wait for these records."""
    for key in keys:
        future = run.keeping.pop(key)
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
