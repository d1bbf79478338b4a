"""The states of a job and of a step, and every way between them, as data.

The check constraints in SQL, the page of the reference and the tests are compared with these
tables; nothing else decides whether a job may change its state.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias

from headrace.errors import TransitionError

if TYPE_CHECKING:
    from collections.abc import Iterable


class JobState(StrEnum):
    """Where a job stands. The last three are final: only an operator's new run leaves them."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether the run has ended."""
        return self in FINAL_STATES


FINAL_STATES: Final = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED})


class Event(StrEnum):
    """What happens to a job; stored with each transition in its audit history."""

    SUBMITTED = "submitted"
    CLAIMED = "claimed"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    RETRY_SCHEDULED = "retry_scheduled"
    """A step failed and has tries left: the attempt is counted."""
    DEFERRED = "deferred"
    """The job waits for something outside: no attempt is counted."""
    RELEASED = "released"
    """A worker gave the job back: a shutdown, a drain, the end of its time slice."""
    RECOVERED = "recovered"
    """The worker that held the job is not alive any more."""
    RESTARTED = "restarted"
    """An operator opened a new run."""


class WaitReason(StrEnum):
    """Why a queued job is queued."""

    NEW = "new"
    SCHEDULED = "scheduled"
    RETRY = "retry"
    RATE_LIMITED = "rate_limited"
    BREAKER_OPEN = "breaker_open"
    BUDGET = "budget"
    LOCK_BUSY = "lock_busy"
    EXTERNAL = "external"
    """A step waits for a signal."""
    CHILD = "child"
    """A step waits for the end of its child job."""
    DELAY = "delay"
    """A step starts some time after its inputs are there."""
    UNDO = "undo"
    """It undoes what another job had done, and nobody has begun with it."""
    SLICE = "slice"
    UNCLAIMABLE = "unclaimable"
    """What is stored cannot be read by the code that was there; it waits for code that can."""
    RELEASED = "released"
    RECOVERED = "recovered"


class FailureCause(StrEnum):
    """Why a job failed."""

    PERMANENT_ERROR = "permanent_error"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    STEP_TIMEOUT = "step_timeout"
    JOB_TIMEOUT = "job_timeout"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    WAIT_LIMIT = "wait_limit"
    WORKER_LOST = "worker_lost"
    BUDGET_EXHAUSTED = "budget_exhausted"
    OPERATOR = "operator"


Transitions: TypeAlias = Mapping[tuple[JobState | None, Event], JobState]

TRANSITIONS: Final[Transitions] = MappingProxyType(
    {
        (None, Event.SUBMITTED): JobState.QUEUED,
        (JobState.QUEUED, Event.CLAIMED): JobState.RUNNING,
        (JobState.RUNNING, Event.COMPLETED): JobState.COMPLETED,
        (JobState.RUNNING, Event.FAILED): JobState.FAILED,
        (JobState.RUNNING, Event.RETRY_SCHEDULED): JobState.QUEUED,
        (JobState.RUNNING, Event.DEFERRED): JobState.QUEUED,
        (JobState.RUNNING, Event.RELEASED): JobState.QUEUED,
        (JobState.RUNNING, Event.RECOVERED): JobState.QUEUED,
        (JobState.QUEUED, Event.CANCELLED): JobState.CANCELLED,
        (JobState.RUNNING, Event.CANCELLED): JobState.CANCELLED,
        (JobState.QUEUED, Event.FAILED): JobState.FAILED,
        (JobState.FAILED, Event.RESTARTED): JobState.QUEUED,
        (JobState.CANCELLED, Event.RESTARTED): JobState.QUEUED,
        (JobState.COMPLETED, Event.RESTARTED): JobState.QUEUED,
    }
)
"""Every way between the states of a job; None is a job that does not exist yet."""

WAIT_REASONS: Final[Mapping[Event, frozenset[WaitReason]]] = MappingProxyType(
    {
        Event.SUBMITTED: frozenset({WaitReason.NEW, WaitReason.SCHEDULED, WaitReason.UNDO}),
        Event.RETRY_SCHEDULED: frozenset({WaitReason.RETRY}),
        Event.DEFERRED: frozenset(
            {
                WaitReason.RATE_LIMITED,
                WaitReason.BREAKER_OPEN,
                WaitReason.BUDGET,
                WaitReason.LOCK_BUSY,
                WaitReason.EXTERNAL,
                WaitReason.CHILD,
                WaitReason.DELAY,
            }
        ),
        Event.RELEASED: frozenset({WaitReason.SLICE, WaitReason.RELEASED, WaitReason.UNCLAIMABLE}),
        Event.RECOVERED: frozenset({WaitReason.RECOVERED}),
        Event.RESTARTED: frozenset({WaitReason.NEW, WaitReason.SCHEDULED}),
    }
)
"""The reasons with which each event leaves a job queued."""


class StepState(StrEnum):
    """Where a step, or an item of a fan-out, stands in one run of a job."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"


STEP_TRANSITIONS: Final[frozenset[tuple[StepState, StepState]]] = frozenset(
    {
        (StepState.PENDING, StepState.RUNNING),
        (StepState.RUNNING, StepState.COMPLETED),
        (StepState.RUNNING, StepState.FAILED),
        (StepState.RUNNING, StepState.PENDING),
        (StepState.RUNNING, StepState.SKIPPED),
        (StepState.PENDING, StepState.SKIPPED),
    }
)
"""Every way between the states of a step.

A step is failed only when its job is, and so is an item, but where `at_least` lets items fail.
"""


def follow(state: JobState | None, event: Event) -> JobState:
    """The state after `event`.

    Raises:
        TransitionError: A job in this state cannot take this event.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise TransitionError(str(state or "not submitted"), str(event)) from None


def allowed_pairs() -> frozenset[tuple[JobState | None, JobState]]:
    """Every allowed (from, to); all others are refused by the database too."""
    return frozenset((source, target) for (source, _), target in TRANSITIONS.items())


def render_transition_check(before: str = "old", after: str = "new") -> str:
    """The SQL condition for every allowed change of a row of `jobs`, and for no other.

    A final state is left only into a new run.

    Args:
        before: Alias of the row before the change.
        after: Alias of the row after it.
    """
    pairs = {(source, target) for source, target in allowed_pairs() if source is not None}
    reopening = {(source, target) for source, target in pairs if source.is_final}
    states = f"({before}.state, {after}.state)"
    return (
        f"{states} in ({_sql_pairs(pairs - reopening)})\n"
        f"or ({states} in ({_sql_pairs(reopening)}) and {after}.run = {before}.run + 1)"
    )


def _sql_pairs(pairs: Iterable[tuple[JobState, JobState]]) -> str:
    return ", ".join(f"('{source}', '{target}')" for source, target in sorted(pairs))
