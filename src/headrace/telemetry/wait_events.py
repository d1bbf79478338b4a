"""Events of what jobs wait for: signals and child jobs."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from headrace.telemetry.events import Event, Level, event


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitEvent(Event):
    """Base of what is told about a job and what it waits for."""

    job_id: UUID
    pipeline: str
    queue: str | None = None
    worker_id: str | None = None


@event(Level.INFO)
class SignalReceived(WaitEvent):
    """A value was sent to a job; the `outcome` is `stored`, `same`, `other`, `late` or `ended`."""

    signal_name: str
    actor: str
    outcome: str


@event(Level.INFO)
class SignalExpired(WaitEvent):
    """A signal did not come in time: what comes later is refused."""

    run: int
    signal_name: str


@event(Level.DEBUG)
class ChildSubmitted(WaitEvent):
    """A step submitted a job with whose end it ends; a step that is tried again finds it again."""

    run: int
    step: str
    item: str | None = None
    child_id: str
