"""Events of a job: accepted, claimed, put back, ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from headrace.telemetry.events import Event, Level, event

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEvent(Event):
    """Base of everything that is told about one job."""

    job_id: UUID
    run: int
    pipeline: str
    version: str | None = None
    queue: str | None = None
    tenant: str | None = None
    token: int | None = None
    worker_id: str | None = None
    correlation_id: str | None = None


@event(Level.INFO)
class Enqueued(JobEvent):
    """A job was accepted: its row is committed."""

    source: str
    priority: int | None = None
    due_at: datetime | None = None
    message_size_bytes: int | None = None


@event(Level.DEBUG)
class JobClaimed(JobEvent):
    """A worker took a job; a job that waited in between is claimed several times a run."""

    queue_latency_ms: float
    lease_s: float


@event(Level.INFO)
class JobStarted(JobEvent):
    """The first claim of a run passed all its checks; work begins."""

    queue_latency_ms: float
    lease_s: float


@event(Level.INFO)
class JobCompleted(JobEvent):
    """A job ended with its output stored."""

    job_latency_ms: float


@event(Level.ERROR)
class JobFailed(JobEvent):
    """A job ended for good without an output; a failure that will be retried is a `step_failed`."""

    cause: str
    job_latency_ms: float
    step: str | None = None
    item: str | None = None
    error_code: str | None = None
    error: str | None = None


@event(Level.INFO)
class JobCancelled(JobEvent):
    """A job ended because somebody asked for it; outputs stored so far are kept."""

    actor: str
    job_latency_ms: float
    cause: str | None = None
    reason: str | None = None


@event(Level.ERROR)
class JobTimeout(JobEvent):
    """A job ended because its running time or its deadline was over."""

    cause: str
    job_latency_ms: float
    step: str | None = None
    item: str | None = None
    error_code: str | None = None
    error: str | None = None


@event(Level.INFO)
class JobRetryScheduled(JobEvent):
    """A step failed and will be tried again; the job gave its slot back until then."""

    due_at: datetime
    wait_reason: str
    attempts: int
    step: str | None = None
    item: str | None = None


@event(Level.INFO)
class JobDeferred(JobEvent):
    """A job waits for something other than a retry; no attempt was used."""

    due_at: datetime
    wait_reason: str
    step: str | None = None


@event(Level.INFO)
class JobReleased(JobEvent):
    """A worker handed a running job back unharmed, for example because it shuts down."""

    wait_reason: str
    reason: str


@event(Level.WARNING)
class JobRecovered(JobEvent):
    """A job of a lost worker is free again and resumes from its checkpoints."""

    lost_worker_id: str
    lease_losses: int


@event(Level.WARNING)
class JobSuspected(JobEvent):
    """A worker died while this job's start was on record; it runs alone until it is cleared."""

    due_at: datetime
    lease_losses: int
    step: str | None = None
    item: str | None = None


@event(Level.WARNING)
class CrashCharged(JobEvent):
    """A worker died with this job as its one suspect; enough of these fail the job."""

    lease_losses: int
    step: str | None = None
    item: str | None = None


@event(Level.INFO)
class JobRedriven(JobEvent):
    """An operator opened a new run of a job that had ended."""

    actor: str
    reason: str
    from_step: str | None = None


@event(Level.INFO)
class UndoStarted(JobEvent):
    """A worker begins to undo what another job had done, which failed or was cancelled."""

    undone_job_id: UUID
    undone_run: int
    steps: tuple[str, ...]


@event(Level.ERROR)
class DeadLettered(JobEvent):
    """A failed job was listed as a dead letter, in the transaction that failed it."""

    cause: str
    attempts: int
    step: str | None = None
    item: str | None = None
    error_code: str | None = None


@event(Level.WARNING)
class JobUnclaimable(JobEvent):
    """A job stays queued because nobody can run it; it goes on once a fitting worker starts."""

    reason: str
    step: str | None = None


@event(Level.INFO)
class VersionAudit(JobEvent):
    """A worker went on with a job that an older version of its pipeline had begun."""

    worker_version: str


@event(Level.INFO)
class IdempotentSkip(JobEvent):
    """A key was known: its job, or the outcome of its operation, was the answer."""

    reason: str


@event(Level.WARNING)
class StaleWriteRefused(JobEvent):
    """A write under a token that is no longer the newest changed nothing."""

    newest_token: int | None = None
    step: str | None = None
    item: str | None = None
