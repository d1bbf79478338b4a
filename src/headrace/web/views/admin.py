"""What operators see of all tenants, and the bodies of what they do."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from headrace.model.job import FailureCause
from headrace.web.auth.identity import Scope
from headrace.web.views.actions import Reason, StepName
from headrace.web.views.jobs import A_TIME, AN_ID, JobSummaryView, summary_view
from headrace.web.views.operations import DeadLetterView, QueueView, dead_letter_view, queue_view
from headrace.web.views.taking import taken
from headrace.web.views.times import Time

if TYPE_CHECKING:
    from headrace.store.api_keys import ApiKey
    from headrace.store.reads import DeadLetter, JobSummary, QueueStatus, WorkerStatus

Text = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: Reason


class WhyBody(_Body):
    """Why."""


class RequeueBody(_Body):
    """How a job runs again."""

    from_step: StepName | None = None
    force: bool = Field(default=False, strict=True, description="Every step runs again.")


class DrainBody(_Body):
    """How long to wait for what runs."""

    wait_s: float = Field(
        10, ge=0, le=20, description="Seconds to wait for the jobs that run there."
    )


MostJobs = Annotated[
    int | None,
    Field(strict=True, ge=1, le=10_000, description="Most jobs at once; null: any number."),
]


class LimitBody(_Body):
    """How many jobs may run at once."""

    concurrency: MostJobs


class TenantLimitBody(LimitBody):
    """How many jobs of a tenant may run at once."""

    tenant: Text


class PurgeBody(_Body):
    """Whether the jobs are cancelled, or counted only."""

    dry_run: bool = Field(default=False, strict=True, description="Only count them.")


class RedriveBody(RequeueBody):
    """Which dead letters run again; of those that fit, the newest."""

    tenant: Text | None = None
    owner: Text | None = None
    pipeline: Text | None = None
    queue: Text | None = None
    cause: FailureCause | None = None
    code: Text | None = None
    correlation_id: Text | None = None
    text: Text | None = Field(None, description="Part of the error's message, in any case.")
    failed_since: Time | None = None
    failed_before: Time | None = None
    job_ids: list[UUID] | None = Field(None, min_length=1, max_length=1_000)
    dry_run: bool = Field(default=False, strict=True, description="Only count them.")
    limit: int = Field(100, strict=True, ge=1, le=1_000, description="Most jobs.")
    per_second: float = Field(
        10, ge=1, le=1_000, description="Jobs a second; all are to be done in 20 s."
    )


class ApiKeyBody(_Body):
    """A key to be made; the reason is also its note."""

    tenant: Text
    owner: Text
    scopes: list[Scope] = Field(min_length=1, max_length=4)
    expires_in_s: int = Field(strict=True, ge=60, le=3_650 * 86_400, examples=[7_776_000])


class RateBody(_Body):
    """A limit of one tenant."""

    tenant: Text
    kind: Literal["writes", "reads", "costly"]
    per_minute: int | None = Field(
        strict=True, ge=0, le=1_000_000, description="0: any number; null: that of the settings."
    )


class AdminJobView(JobSummaryView):
    """A job of any tenant."""

    tenant: str = Field(examples=["acme"])


class AdminJobPage(BaseModel):
    """Part of a list of jobs, newest first."""

    items: list[AdminJobView]
    limit: int
    next: str | None = Field(description="`cursor` of the next page; null on the last one.")


class AdminDeadLetterView(DeadLetterView):
    """A dead letter of any tenant, with the whole text of its error."""

    tenant: str = Field(examples=["acme"])


class AdminDeadLetterPage(BaseModel):
    """Part of a list of dead letters, newest first."""

    items: list[AdminDeadLetterView]
    limit: int
    next: str | None = Field(description="`cursor` of the next page; null on the last one.")


class RedrivenView(BaseModel):
    """What a redrive did, or would do."""

    matched: int = Field(description="Dead letters that fit, counted up to the limit.")
    redriven: int
    skipped: int = Field(description="Jobs that somebody else had restarted or erased by then.")
    job_ids: list[UUID] = Field(description="The jobs that run again.")
    dry_run: bool


class QueueLimit(BaseModel):
    """The limit of a queue."""

    name: str = Field(examples=["default"])
    concurrency: int | None = Field(description="Most jobs at once; null: any number.")
    before: int | None = Field(description="What it was before.")


class TenantLimitSet(BaseModel):
    """The limit of a tenant."""

    tenant: str = Field(examples=["acme"])
    concurrency: int | None = Field(description="Most jobs at once; null: any number.")
    before: int | None = Field(description="What it was before.")


class TenantLimitView(BaseModel):
    """A tenant with a limit, and what of it is in use."""

    tenant: str = Field(examples=["acme"])
    concurrency: int = Field(description="Most jobs at once.", examples=[20])
    running: int = Field(description="Its jobs that run now.")
    blocked: int = Field(description="Its due jobs that the limit was seen to keep from running.")
    set_at: datetime
    set_by: str
    reason: str | None


class AdminQueueView(QueueView):
    """A queue with the jobs of all tenants."""

    paused_by: str | None
    pause_reason: str | None


class QueueState(BaseModel):
    """Whether a queue is open."""

    name: str = Field(examples=["default"])
    is_paused: bool


class DrainedQueue(QueueState):
    """A closed queue, and what is left in it."""

    running: int = Field(description="Jobs that still run there.")
    waiting: int = Field(description="Jobs that stay until it is opened.")
    complete: bool = Field(description="Whether nothing runs there any more.")


class PurgedQueue(BaseModel):
    """A queue whose waiting jobs were cancelled."""

    name: str = Field(examples=["default"])
    cancelled: int
    waiting: int = Field(description="Jobs that wait there now.")
    complete: bool = Field(description="False where 20 s were not enough: call again.")
    dry_run: bool


class Released(BaseModel):
    """A job that its worker holds no more."""

    job_id: UUID = Field(examples=[AN_ID])
    state: Literal["queued", "cancelled"] = Field(
        description="`cancelled` where that had been asked for before."
    )


class Failed(BaseModel):
    """A job that was ended."""

    job_id: UUID = Field(examples=[AN_ID])
    state: Literal["failed", "cancelled"] = Field(
        description="`cancelled` where that had been asked for before."
    )


class WorkerView(BaseModel):
    """A worker process."""

    worker_id: int = Field(examples=[7])
    state: str = Field(description="`alive`, `draining`, `stale`, `lost` or `stopped`.")
    host: str
    pid: int
    version: str
    queues: list[str]
    carries: Any = Field(description="Versions by pipeline.")
    concurrency: int
    running: int
    started_at: datetime = Field(examples=[A_TIME])
    heartbeat_at: datetime
    expires_at: datetime
    draining_at: datetime | None


class Drained(BaseModel):
    """A worker that takes nothing new, finishes what it runs, and ends."""

    worker_id: int = Field(examples=[7])
    state: Literal["draining"]


class ApiKeyView(BaseModel):
    """A key as it is listed: nothing here opens anything."""

    prefix: str = Field(examples=["k5zmd7qxw2hn4tgb"])
    tenant: str = Field(examples=["acme"])
    owner: str = Field(examples=["ann"])
    scopes: list[str] = Field(examples=[["jobs:read"]])
    note: str | None
    created_at: datetime = Field(examples=[A_TIME])
    created_by: str
    expires_at: datetime = Field(examples=[A_TIME])
    revoked_at: datetime | None
    revoked_by: str | None


class NewApiKeyView(ApiKeyView):
    """A key that was made; it is shown this once."""

    key: str = Field(description="The credential.")


class ExpiredView(BaseModel):
    """What retention would delete now."""

    jobs: int
    checkpoints: int = Field(description="Outputs of steps; those of the jobs included.")


class PrunedView(BaseModel):
    """What retention deleted."""

    jobs: int
    checkpoints: int
    complete: bool = Field(description="False where 20 s were not enough: call again.")


class RateView(BaseModel):
    """A limit of one tenant."""

    tenant: str
    kind: Literal["writes", "reads", "costly"]
    per_minute: int | None


class AuditView(BaseModel):
    """Something that an administrator did or looked at."""

    id: int
    at: datetime = Field(examples=[A_TIME])
    actor: str
    action: str = Field(examples=["queue.pause"])
    target: str
    reason: str | None
    request_id: str | None
    before: Any
    after: Any


def admin_job_view(job: JobSummary) -> dict[str, Any]:
    """An `AdminJobView`."""
    return {**summary_view(job), "tenant": job.tenant}


def admin_dead_letter_view(letter: DeadLetter) -> dict[str, Any]:
    """An `AdminDeadLetterView`."""
    shown = dead_letter_view(letter)
    return {
        **shown,
        "tenant": letter.tenant,
        "error": {**shown["error"], "message": letter.message},
    }


def admin_queue_view(queue: QueueStatus) -> dict[str, Any]:
    """An `AdminQueueView`."""
    return {
        **queue_view(queue),
        "paused_by": queue.paused_by,
        "pause_reason": queue.pause_reason,
    }


def worker_view(worker: WorkerStatus) -> dict[str, Any]:
    """A `WorkerView`."""
    return taken(WorkerView, worker, worker_id=worker.id)


def api_key_view(key: ApiKey) -> dict[str, Any]:
    """An `ApiKeyView`."""
    return taken(ApiKeyView, key)
