"""Events of operations that a tenant does once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.telemetry.events import Event, Level, event

if TYPE_CHECKING:
    from uuid import UUID


@event(Level.WARNING)
class OperationTakenOver(Event):
    """A pending operation was taken from a holder that was gone; its function runs again."""

    tenant: str
    operation: str
    key: str
    takeovers: int
    token: int
    job_id: UUID | None
    earlier_job_id: UUID | None
    earlier_worker_id: str | None
    worker_id: str | None


@event(Level.ERROR)
class OperationGivenUp(Event):
    """Every holder of an operation died of it: it counts as failed for an hour."""

    tenant: str
    operation: str
    key: str
    takeovers: int
    job_id: UUID | None
    worker_id: str | None


@event(Level.WARNING)
class OperationOutcomeRefused(Event):
    """An outcome came from a holder that another one has replaced: it was not stored."""

    tenant: str
    operation: str
    key: str
    token: int
    job_id: UUID | None
    worker_id: str | None
