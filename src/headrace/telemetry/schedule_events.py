"""Events of schedules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.telemetry.events import Event, Level, event

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleEvent(Event):
    """Base of what is told about a schedule; `schedule` is its name in its pipeline."""

    pipeline: str
    schedule: str
    worker_id: str | None = None


@event(Level.INFO)
class ScheduleFired(ScheduleEvent):
    """The job of a slot was submitted, so long after the slot's time."""

    slot: datetime
    job_id: UUID
    schedule_latency_ms: float


@event(Level.WARNING)
class ScheduleMissed(ScheduleEvent):
    """Slots were missed, and by the policy they get no job; `slots` counts 10,000 at most."""

    slots: int
    policy: str
    first: datetime


@event(Level.WARNING)
class ScheduleFailed(ScheduleEvent):
    """The function of a schedule failed, or made no input; it is called again after a wait."""

    slot: datetime
    error: str
    failures: int
    retry_in_s: float


@event(Level.INFO)
class SchedulePaused(ScheduleEvent):
    """An operator paused a schedule: its slots pass without jobs."""

    actor: str
    reason: str | None


@event(Level.INFO)
class ScheduleResumed(ScheduleEvent):
    """An operator let a schedule go on with its next slot."""

    actor: str
    reason: str | None


@event(Level.INFO)
class ScheduleTriggered(ScheduleEvent):
    """An operator had a schedule submit a job for the present moment."""

    job_id: UUID
    actor: str
    reason: str | None
