"""Events of locks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.telemetry.events import Event, Level, event

if TYPE_CHECKING:
    from uuid import UUID


@event(Level.DEBUG)
class LockAcquired(Event):
    """A lock was granted, at once or after a wait."""

    tenant: str
    key: str
    token: int
    wait_latency_ms: float
    worker_id: str | None
    job_id: UUID | None


@event(Level.DEBUG)
class LockRefused(Event):
    """A lock was not granted: somebody else held it for as long as the caller would wait."""

    tenant: str
    key: str
    holder: str
    wait_latency_ms: float
    worker_id: str | None
    job_id: UUID | None


@event(Level.DEBUG)
class LockReleased(Event):
    """The holder of a lock is done with it."""

    tenant: str
    key: str
    token: int
    hold_latency_ms: float
    worker_id: str | None
    job_id: UUID | None


@event(Level.WARNING)
class LockLost(Event):
    """A lock was not renewed in time, or taken away: what was done under it is cancelled."""

    tenant: str
    key: str
    token: int
    cause: str
    worker_id: str | None
    job_id: UUID | None


@event(Level.WARNING)
class LockFreed(Event):
    """A lock was taken from a holder that is dead, or did not renew it."""

    tenant: str
    key: str
    token: int
    worker_id: str


@event(Level.WARNING)
class LockForced(Event):
    """An operator took a lock from its holder."""

    tenant: str
    key: str
    token: int
    holder: str
    actor: str
    reason: str | None
