"""Events of the HTTP API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.telemetry.events import Event, Level, event

if TYPE_CHECKING:
    from uuid import UUID


@event(Level.INFO)
class RequestServed(Event):
    """A request was answered; `status` 0 says that its client had left."""

    request_id: str
    method: str
    route: str
    status: int
    latency_ms: float
    schema_version: str | None = None
    tenant: str | None = None
    caller: str | None = None


@event(Level.ERROR)
class RequestFailed(Event):
    """A request met an error that nobody expected; its client saw only the id."""

    request_id: str
    method: str
    route: str
    error: str
    stack: str


@event(Level.INFO)
class ParserCalledBack(Event):
    """The parser of documents has called back: what it says, and what became of that."""

    provider: str
    job_id: UUID
    state: str
    outcome: str
    done: int | None = None
    total: int | None = None
