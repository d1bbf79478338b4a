"""Events of a worker: its life, its lease, its services."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.telemetry.events import Event, Level, event


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerEvent(Event):
    """Base of everything that is told about one worker."""

    worker_id: str


@event(Level.INFO)
class WorkerStarted(WorkerEvent):
    """A worker is ready to claim."""

    version: str
    host: str
    pid: int
    concurrency: int
    queues: tuple[str, ...]
    pipelines: tuple[str, ...]
    doorbell: str
    presence: bool


@event(Level.INFO)
class WorkerDraining(WorkerEvent):
    """A worker claims no more; its running jobs get the grace time."""

    reason: str
    running: int
    signal: str | None = None


@event(Level.INFO)
class WorkerStopped(WorkerEvent):
    """A worker has ended in good order."""

    reason: str
    completed: int
    released: int


@event(Level.ERROR)
class LeaseLost(WorkerEvent):
    """This worker was declared lost: it cancels its jobs and returns under a new identity."""

    reason: str
    running: int


@event(Level.WARNING)
class LeaseAtRisk(WorkerEvent):
    """The lease could not be renewed in time: no new step starts, later running ones end."""

    unrenewed_s: float
    action: str
    running: int


@event(Level.WARNING)
class WorkerLost(WorkerEvent):
    """Another worker was found dead and marked as lost; its jobs are free."""

    lost_worker_id: str
    reason: str
    jobs: int


@event(Level.WARNING)
class PresenceLost(WorkerEvent):
    """The presence connection dropped: the lease alone decides until it is back."""

    error: str


@event(Level.INFO)
class PresenceUnavailable(WorkerEvent):
    """No presence and no LISTEN behind a transaction pooler: lease and polling do the work."""

    reason: str


@event(Level.WARNING)
class ClaimsReconciled(WorkerEvent):
    """Jobs that the database gave to this worker, but that it does not hold, were released."""

    jobs: int


@event(Level.DEBUG)
class BatchClaimed(WorkerEvent):
    """One claim took jobs: `jobs` of them, in the time that the worker waited for it."""

    jobs: int
    latency_ms: float


@event(Level.DEBUG)
class SweepCompleted(WorkerEvent):
    """One pass of the janitor ended."""

    promoted: int
    expired: int
    removed: int
    latency_ms: float


@event(Level.CRITICAL)
class LoopStalled(WorkerEvent):
    """The event loop stood still for too long: the process ends with code 70."""

    stalled_s: float
    stack: str
    job_id: str | None = None
    step: str | None = None


@event(Level.ERROR)
class ServiceFailed(WorkerEvent):
    """A background service failed; the worker is not ready until it runs again."""

    service: str
    error: str
    retry_in_s: float


@event(Level.INFO)
class PortOpened(Event):
    """A worker answers questions about itself, at this address."""

    host: str
    port: int


@event(Level.WARNING)
class PortFailed(Event):
    """A worker's port cannot be served; the worker goes on without it, and tries again."""

    error: str
    retry_in_s: float


@event(Level.WARNING)
class PipelineTooLong(Event):
    """A step may take longer than a push request: its pipeline is left to other workers."""

    pipeline: str
    step: str
    limit_s: float
    slice_s: float


@event(Level.INFO)
class ServiceRecovered(WorkerEvent):
    """A background service that had failed runs again."""

    service: str


@event(Level.ERROR)
class WorkerCrashed(Event):
    """The supervisor saw its worker process end unexpectedly and starts another."""

    pid: int
    reason: str
    exit_code: int | None = None
    signal: str | None = None
    retry_in_s: float
