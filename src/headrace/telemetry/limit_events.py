"""Events of rate limits and budgets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.telemetry.events import Event, Level, event

if TYPE_CHECKING:
    from uuid import UUID


@event(Level.DEBUG)
class RateLimited(Event):
    """A call found no room within a second; its step is put off, without using an attempt."""

    dependency: str
    reason: str
    retry_in_s: float


@event(Level.WARNING)
class RateLimitHeld(Event):
    """A service asked to be left alone: nobody calls it for so long."""

    dependency: str
    held_s: float


@event(Level.WARNING)
class BudgetWarning(Event):
    """Four fifths of a budget are spent; told once in each of its windows."""

    budget: str
    tenant: str
    job_id: UUID | None
    spent: str
    limit: str


@event(Level.ERROR)
class BudgetExhausted(Event):
    """A budget is spent; told once in each of its windows."""

    budget: str
    tenant: str
    job_id: UUID | None
    spent: str
    limit: str
