"""What a process tells of itself: the models of the document."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field


class Health(BaseModel):
    """Whether the process lives."""

    status: Literal["healthy", "degraded", "stalled"] = Field(
        description="`degraded`: it lives, but cannot do all of its work; `/ready` says why. "
        "`stalled` comes with 503: its main loop stood still for over 30 s."
    )
    service: str = Field(examples=["headrace"])
    version: str = Field(examples=["0.1.0"])
    env: str = Field(examples=["production"])
    mode: Literal["api", "worker", "dev"]
    timestamp: datetime
    uptime_seconds: float = Field(examples=[512.25])
    config_status: Literal["ok", "warning"] = Field(
        description="`warning`: a `HEADRACE_` variable means nothing; the log names it."
    )
    debug: bool = Field(description="Whether it runs as development.")


class Component(BaseModel):
    """What was seen last of a part."""

    status: Literal["ok", "degraded", "unknown"] = Field(examples=["ok"])
    detail: str | None = Field(description="What is wrong, or how much there is of it.")
    age_s: float | None = Field(description="Seconds since it was seen; null for now.")


class Readiness(BaseModel):
    """The process can do its work."""

    status: Literal["ready"] = "ready"
    components: dict[str, Component] | None = Field(
        None,
        description="What is known of each part, with `deep=true` only: of database, migrations, "
        "listener and executor, without which the process is not ready, and of connections, "
        "workers, queues and identity providers, where it has any.",
    )


class JobCounts(BaseModel):
    """What became of jobs in this process since it began."""

    started: int
    processed: int = Field(description="Jobs that ended here, whatever way.")
    completed: int
    failed: int
    cancelled: int
    skipped: int = Field(description="Submissions that were answered with the job of their key.")
    retried: int
    stale_writes: int = Field(description="Writes refused because the job had another holder.")
    success_rate_percent: float | None = Field(examples=[99.4])
    jobs_per_s: float = Field(description="Jobs that ended, over the last 60 s.")
    last_job_at: datetime | None


class Times(BaseModel):
    """How long something took; estimated from the histograms, as Prometheus does."""

    count: int
    mean_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class StepTimes(Times):
    """How long the attempts of a step took, and how many failed."""

    pipeline: str
    step: str
    failed: int
    error_rate_percent: float


class QueueSignal(BaseModel):
    """What an autoscaler wants to know of a queue, over all processes."""

    queue: str
    due: int = Field(description="Jobs that may run now.")
    waiting: int = Field(description="Jobs that wait for their time, a signal or another job.")
    running: int
    blocked: int = Field(description="Due jobs that wait for others of their key or tenant.")
    unclaimable: int = Field(description="Due jobs that no living worker carries.")
    oldest_due_s: float = Field(description="Since when the oldest due job is due.")
    paused: bool
    drain_s: float | None = Field(
        description="In how many seconds it is empty at the speed of the last two minutes; null "
        "while it does not shrink."
    )


class WorkerLoad(BaseModel):
    """What the worker of this process does."""

    running: int
    free_slots: int
    abandoned: int = Field(description="Steps that ignored their cancellation and still run.")
    heartbeat_age_s: float


class Stats(BaseModel):
    """What a process did since it began, and the state of the queues."""

    service: str
    version: str
    mode: Literal["api", "worker", "dev"]
    host: str
    started_at: datetime
    uptime_seconds: float
    jobs: JobCounts
    latencies: dict[str, Times] = Field(
        description="`job`: from acceptance to end; `queue`: from due to claimed."
    )
    steps: list[StepTimes]
    error_codes: dict[str, int] = Field(description="Failed attempts by code.")
    worker: WorkerLoad | None = Field(description="Null where no worker runs.")
    queues: list[QueueSignal] | None = Field(description="Null while the database is silent.")
    settings: dict[str, object] = Field(description="Those that are no secrets.")


class Processed(BaseModel):
    """What became of one job."""

    processed: int = Field(description="0 where none was due.", examples=[1])
    job_id: str | None
    state: str | None = Field(examples=["completed"])


class Relayed(BaseModel):
    """What was sent."""

    sent: int = Field(description="Events that arrived.")
    retried: int = Field(description="Those that will be tried again.")
    given_up: int = Field(description="Those that nobody takes.")
    complete: bool = Field(description="False where something that was due is left: call again.")


class Cleaned(BaseModel):
    """What was deleted."""

    removed: int = Field(
        description="Jobs, outputs, answers to keys, audit, files of outputs, ended workers."
    )
    complete: bool = Field(description="False where the 60 s were not enough: call again.")


class DrainedOnce(BaseModel):
    """What became of the jobs that were due."""

    completed: int
    failed: int
    cancelled: int
    released: int = Field(description="Jobs that were handed back when the time was over.")
    complete: bool = Field(description="False where the time was over first: call again.")


class Swept(BaseModel):
    """What a sweep did."""

    swept: bool = Field(description="False where another worker had just done it.")
    promoted: int = Field(description="Jobs whose time had come.")
    expired: int = Field(description="Queued jobs whose deadline was over.")
    removed: int = Field(description="Old records that were deleted.")
    workers_lost: int = Field(description="Dead workers that were found.")
    recovered: int = Field(description="Jobs of dead workers that are free again.")
    failed: int = Field(description="Jobs of dead workers that had lost too many.")
    scheduled: int = Field(description="Jobs that schedules submitted.")
    complete: bool = Field(description="False where the 60 s were not enough: call again.")
