"""Events of a step or of one item of its fan-out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.telemetry.events import Level, event
from headrace.telemetry.job_events import JobEvent

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEvent(JobEvent):
    """Base of everything that is told about one attempt of a step or item."""

    step: str
    item: str | None = None
    attempt: int


@event(Level.DEBUG)
class StepStarted(StepEvent):
    """An attempt begins."""


@event(Level.DEBUG)
class StepCompleted(StepEvent):
    """An attempt succeeded and its checkpoint is committed."""

    latency_ms: float
    bytes: int | None = None


@event(Level.DEBUG)
class StepSkipped(StepEvent):
    """A step was not needed; its checkpoint says so."""

    reason: str


@event(Level.WARNING)
class StepFailed(StepEvent):
    """An attempt failed; whether it is tried again is told by the job's own events."""

    latency_ms: float
    error_code: str
    error: str | None = None
    error_class: str | None = None
    due_at: datetime | None = None


@event(Level.WARNING)
class StepLeftovers(StepEvent):
    """A step in a process left threads or processes behind: they were ended with its process."""

    threads: int
    processes: int


@event(Level.ERROR)
class StepAbandoned(StepEvent):
    """A step ignored its cancellation: its later writes are refused and the job goes on."""

    waited_s: float
    abandoned: int
