"""The parts of a job as it is shown, by the engine and by a remote API.

Times have zones, durations are in seconds unless their name says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from headrace.model.job import JobState, StepState

JsonObject: TypeAlias = dict[str, Any]
"""Readers of the API evaluate it: no name in quotes."""


@dataclass(frozen=True, slots=True)
class ErrorStatus:
    """Why a try, or the job, failed; from a remote API the message is safe to show."""

    code: str
    kind: str | None
    message: str
    step: str | None = None
    item: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """What a running step said about itself, or for how long it has been running."""

    started_at: datetime
    updated_at: datetime
    done: int | None
    total: int | None
    note: str | None


@dataclass(frozen=True, slots=True)
class ItemStatus:
    """One item of a fan-out, or the whole of a step that runs once."""

    key: str
    state: StepState
    attempts: int = 0
    latency_ms: float | None = None
    finished_at: datetime | None = None
    reused_from: int | None = None
    """The run whose output this is."""
    reason: str | None = None
    """Why it was skipped."""
    error: ErrorStatus | None = None
    """Of the last failed try; None once it succeeded."""
    next_try_at: datetime | None = None
    progress: Progress | None = None
    metadata: JsonObject | None = None
    """What the step said of itself."""


@dataclass(frozen=True, slots=True)
class StepStatus:
    """A step of the present run. A fan-out has items once they are known, and sums them up."""

    name: str
    state: StepState
    attempts: int
    latency_ms: float | None
    finished_at: datetime | None
    reused_from: int | None
    reason: str | None
    error: ErrorStatus | None
    next_try_at: datetime | None
    progress: Progress | None
    items: tuple[ItemStatus, ...] | None = None
    metadata: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class WaitStatus:
    """What a step waits for besides its inputs."""

    step: str
    item: str | None
    """The key of the item; None for a step that runs once."""
    kind: str
    """`signal`, `child` or `delay`."""
    name: str
    """Of the signal; the id of the child; empty for a delay."""
    since: datetime
    until: datetime | None
    """When it is over at the latest; None for that of a child's end."""
    pipeline: str | None = None
    """Of the child."""
    state: JobState | None = None
    """Of the child."""


@dataclass(frozen=True, slots=True)
class SignalStatus:
    """What was sent to the present run, without its value; or that nothing came in time."""

    name: str
    state: str
    """`received` or `expired`."""
    at: datetime
    by: str | None
    """Who sent it."""


@dataclass(frozen=True, slots=True)
class ChildStatus:
    """A job that a step of this job submitted."""

    id: str
    pipeline: str
    state: JobState


@dataclass(frozen=True, slots=True)
class UndoneStep:
    """A step that was completed and has an undo; `state` is that of its undo."""

    name: str
    state: StepState


@dataclass(frozen=True, slots=True)
class UndoStatus:
    """What became of what a run had done that failed or was cancelled.

    Attributes:
        job_id: The job that undoes it.
        state: Of that job.
        steps: In the order in which they are undone.
    """

    job_id: str
    state: JobState
    steps: tuple[UndoneStep, ...]


@dataclass(frozen=True, slots=True)
class AwaitingStep:
    """A step that waits for a signal."""

    step: str
    item: str | None
    since: datetime
    until: datetime | None
    """When its time is over."""


@dataclass(frozen=True, slots=True)
class SignalInfo:
    """A signal of a job, in its present run."""

    signal: str
    """Its name."""
    state: str
    """`open`: nothing came, and no step waits for it yet; `awaited`: a step waits; `received`: a
    value stands; `expired`: none came in time."""
    awaited: tuple[AwaitingStep, ...]
    """The steps that wait for it now."""
    received_at: datetime | None
    """When the value came, or the time was over."""
    sent_by: str | None
    value: Any
    """As JSON; None where there is none."""
    value_schema: JsonObject | None
    """The JSON schema of its values; None where nobody knows it here."""
