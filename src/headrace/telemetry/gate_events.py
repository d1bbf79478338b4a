"""Events of limits on how many jobs run at once."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.telemetry.events import Event, Level, event


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitEvent(Event):
    """Base of what is told of a limit; without `concurrency` there is none from now on."""

    concurrency: int | None = None
    actor: str


@event(Level.INFO)
class QueueLimited(LimitEvent):
    """Somebody has set how many jobs of a queue run at once."""

    queue: str


@event(Level.INFO)
class TenantLimited(LimitEvent):
    """Somebody has set how many jobs of a tenant run at once."""

    tenant: str
