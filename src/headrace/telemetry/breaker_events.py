"""Events of circuit breakers."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.telemetry.events import Event, Level, event


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerEvent(Event):
    """Base of what is told about a breaker; told once, by the process that changed it."""

    dependency: str
    tenant: str | None = None
    reason: str
    worker_id: str | None = None


@event(Level.WARNING)
class BreakerOpened(BreakerEvent):
    """A breaker lets no call through until it is time to try one, or until somebody resets it."""

    retry_in_s: float | None = None


@event(Level.INFO)
class BreakerHalfOpen(BreakerEvent):
    """A breaker lets one call at a time through, to see whether calls go well again."""


@event(Level.INFO)
class BreakerClosed(BreakerEvent):
    """A breaker lets all calls through again."""


@event(Level.DEBUG)
class FallbackUsed(Event):
    """A call was turned away by an open breaker, and its fallback answered in its place."""

    dependency: str
    tenant: str | None = None
    fallback: str
