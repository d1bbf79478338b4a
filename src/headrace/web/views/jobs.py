"""Jobs as the API shows them: the models of the document, and what fills them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal
from uuid import UUID

import orjson
from pydantic import BaseModel, Field

from headrace.web.views.around import JobChild, JobSignal, JobWait, around_views
from headrace.web.views.errors import StepError, shown_error, shown_message
from headrace.web.views.taking import taken

if TYPE_CHECKING:
    from headrace.client.status import JobStatus
    from headrace.model.status import ItemStatus, StepStatus, UndoStatus
    from headrace.store.reads import HistoryEntry, JobInput, JobSummary

State = Literal["queued", "running", "completed", "failed", "cancelled"]
StepStateName = Literal["pending", "running", "completed", "failed", "skipped"]
PREVIEW: Final = 100
LIST_PREVIEW: Final = 50
SOONEST: Final = timedelta(seconds=2)
LATEST: Final = timedelta(seconds=10)
AGE_SHARE: Final = 10
"""A job is looked at again after a tenth of its age: after 2 s at first, at last every 10 s."""
AN_ID: Final = "0192f1e2-1234-7abc-8def-001122334455"
A_TIME: Final = "2026-11-22T17:00:00.000000Z"


class JobSummaryView(BaseModel):
    """One line of a list of jobs."""

    job_id: UUID = Field(examples=[AN_ID])
    pipeline: str = Field(examples=["documents"])
    version: str = Field(examples=["1.0.0"])
    queue: str = Field(examples=["default"])
    state: State
    wait_reason: str | None = Field(description="Why it is queued.", examples=["new"])
    owner: str = Field(examples=["ann"])
    priority: int = Field(examples=[5])
    run: int = Field(examples=[1])
    lease_losses: int = Field(examples=[0])
    due_at: datetime | None = Field(description="When it may start, where it is queued.")
    cause: str | None = Field(description="Why it failed.")
    correlation_id: str | None
    parent_job_id: UUID | None
    ordering_key: str | None
    concurrency_key: str | None
    blocked_by: str | None = Field(
        description="What keeps it from running where it is due: `ordering_key`, "
        "`concurrency_key`, `tenant_limit`, `queue_limit` or `pipeline_limit`."
    )
    undo_of: UUID | None = Field(description="The job that it undoes, of an undo job.")
    payload_preview: str = Field(description="Its first 50 characters.", examples=['{"title"'])
    created_at: datetime = Field(examples=[A_TIME])
    started_at: datetime | None
    finished_at: datetime | None


class JobPage(BaseModel):
    """Part of a list of jobs, newest first."""

    items: list[JobSummaryView]
    total: int = Field(description="Jobs that fit the filters, counted up to 10,000.")
    is_total_exact: bool = Field(description="False where there are more than were counted.")
    limit: int
    next: str | None = Field(description="`cursor` of the next page; null on the last one.")


class ProgressView(BaseModel):
    """What a running step said about itself."""

    started_at: datetime
    updated_at: datetime
    done: int | None
    total: int | None
    note: str | None


class _Tried(BaseModel):
    state: StepStateName
    attempts: int
    latency_ms: float | None
    finished_at: datetime | None
    reused_from: int | None = Field(description="The run whose output this is.")
    reason: str | None = Field(
        description="Why it was skipped; `overridden` where an operator gave the output."
    )
    error: StepError | None
    next_try_at: datetime | None
    progress: ProgressView | None
    metadata: dict[str, Any] | None = Field(description="What the step said of itself.")


class ItemView(_Tried):
    """One item of a fan-out."""

    key: str


class StepView(_Tried):
    """A step of the present run; one that has not started is `pending`."""

    name: str
    items: list[ItemView] | None = Field(description="Of a fan-out, once they are known.")


class StoredStepView(StepView):
    """A step with where its large outputs lie."""

    artifacts: list[ArtifactView]


class ArtifactView(BaseModel):
    """An output that is too large for the database."""

    item: str | None
    bytes: int
    sha256: str
    href: str


class UndoneStepView(BaseModel):
    """A step that was completed and has an undo."""

    name: str
    state: StepStateName = Field(description="Of its undo.")


class UndoView(BaseModel):
    """What became of what a run had done that failed or was cancelled."""

    job_id: UUID = Field(description="The job that undoes it.")
    state: State
    steps: list[UndoneStepView] = Field(description="In the order in which they are undone.")


class JobView(BaseModel):
    """Everything that is shown of a job, but its input and its outputs."""

    job_id: UUID = Field(examples=[AN_ID])
    pipeline: str = Field(examples=["documents"])
    version: str = Field(description="`unknown` where none was recorded.", examples=["1.0.0"])
    queue: str = Field(examples=["default"])
    owner: str = Field(examples=["ann"])
    state: State
    wait_reason: str | None = Field(description="Why it is queued.")
    run: int = Field(examples=[1])
    attempts: int = Field(description="The most tries that one of its steps took.", examples=[0])
    lease_losses: int = Field(examples=[0])
    priority: int = Field(examples=[5])
    created_at: datetime = Field(examples=[A_TIME])
    due_at: datetime | None = Field(description="When it may start, where it is queued.")
    started_at: datetime | None
    finished_at: datetime | None
    deadline: datetime | None
    progress: float = Field(description="Percent of its steps that are done.", examples=[0.0])
    preset: str | None
    parameters: dict[str, Any] | None
    metadata: dict[str, Any] | None
    correlation_id: str | None
    parent_job_id: UUID | None
    ordering_key: str | None
    concurrency_key: str | None
    blocked_by: str | None = Field(
        description="What keeps it from running where it is due: `ordering_key`, "
        "`concurrency_key`, `tenant_limit`, `queue_limit` or `pipeline_limit`."
    )
    undo_of: UUID | None = Field(description="The job that it undoes, of an undo job.")
    undo: UndoView | None = Field(
        description="What undoes the run; null where it did not fail, or did nothing that has an "
        "undo."
    )
    input_preview: str = Field(description="Its first 100 characters.")
    cancel_requested_at: datetime | None
    cancel_reason: str | None
    cause: str | None = Field(description="Why it failed.")
    error: StepError | None = Field(description="Why it failed, or why it waits.")
    result: str | None = Field(description="Where its result is, once it completed.")
    erased_at: datetime | None = Field(description="When its input and outputs were erased.")
    steps: list[StepView]
    waits: list[JobWait] = Field(
        description="What steps wait for besides their inputs: at most 100, children last."
    )
    waits_total: int = Field(description="How many there are, counted up to 10,000.", examples=[0])
    signals: list[JobSignal] = Field(description="What was sent to the present run.")
    children: list[JobChild] = Field(
        description="The first 100 jobs that its steps submitted; `GET /v1/jobs?parent_job_id=` "
        "lists all."
    )
    children_total: int = Field(
        description="How many there are, counted up to 10,000.", examples=[0]
    )
    check_status_at: datetime | None = Field(
        description="When to look again; null once it has ended."
    )


class JobResult(BaseModel):
    """What a job made."""

    job_id: UUID = Field(examples=[AN_ID])
    run: int = Field(examples=[1])
    state: Literal["completed"]
    result: Any = Field(description="As the pipeline's output type has it.")


class JobInputView(BaseModel):
    """What a job was given, as it was accepted."""

    job_id: UUID = Field(examples=[AN_ID])
    payload: Any = Field(description="null where the job was erased.")
    erased_at: datetime | None


class HistoryView(BaseModel):
    """One transition of a job."""

    seq: int
    run: int
    from_state: State | None
    to_state: State
    reason: str = Field(examples=["submitted"])
    actor: str | None
    worker: int | None
    at: datetime
    metadata: dict[str, Any] | None


class AttemptView(BaseModel):
    """A try of a step that failed, or that asked to be put off."""

    step: str
    item: str | None
    attempt: int
    worker: int
    latency_ms: float
    failed_at: datetime
    kind: str
    code: str
    message: str = Field(description="Safe to show.")
    next_try_at: datetime | None


def job_view(status: JobStatus, more: JobInput) -> dict[str, Any]:
    """A `JobView`."""
    return taken(
        JobView,
        status,
        job_id=status.id,
        version=status.version or "unknown",
        attempts=max((step.attempts for step in status.steps), default=0),
        progress=round(100 * status.progress, 1),
        parent_job_id=status.parent_job,
        input_preview=more.input[:PREVIEW],
        error=shown_error(status.error),
        result=f"/v1/jobs/{status.id}/result" if _has_result(status) else None,
        erased_at=more.erased_at,
        steps=[step_view(step) for step in status.steps],
        undo=status.undo and _undo_view(status.undo),
        check_status_at=look_again_at(status, more.now),
        **around_views(status),
    )


def _has_result(status: JobStatus) -> bool:
    return status.state == "completed" and status.undo_of is None


def _undo_view(undo: UndoStatus) -> dict[str, Any]:
    return taken(UndoView, undo, steps=[taken(UndoneStepView, step) for step in undo.steps])


def look_again_at(status: JobStatus, now: datetime) -> datetime | None:
    """When it is worth while to ask for a job again; None once it has ended."""
    if status.is_final:
        return None
    # What waits for others may go on before its time.
    is_woken = status.wait_reason in {"external", "child"}
    if status.due_at is not None and status.due_at > now and not is_woken:
        return status.due_at + SOONEST
    age = now - (status.started_at or status.created_at)
    return now + min(LATEST, max(SOONEST, age / AGE_SHARE))


def step_view(step: StepStatus) -> dict[str, Any]:
    """A `StepView`."""
    items = None if step.items is None else [_tried(ItemView, item) for item in step.items]
    return _tried(StepView, step, items=items)


def _tried(view: type[BaseModel], one: StepStatus | ItemStatus, **others: Any) -> dict[str, Any]:
    progress = None if one.progress is None else taken(ProgressView, one.progress)
    return taken(view, one, error=shown_error(one.error), progress=progress, **others)


def summary_view(job: JobSummary) -> dict[str, Any]:
    """A `JobSummaryView`."""
    is_queued = job.state == "queued"
    return taken(
        JobSummaryView,
        job,
        job_id=job.id,
        wait_reason=job.wait_reason if is_queued else None,
        due_at=job.due_at if is_queued else None,
        parent_job_id=job.parent_job,
        payload_preview=job.input_preview[:LIST_PREVIEW],
    )


def history_view(entry: HistoryEntry) -> dict[str, Any]:
    """A `HistoryView`."""
    return taken(HistoryView, entry)


def artifact_views(job: UUID, stored: dict[tuple[str, str], str], step: str) -> list[Any]:
    """The `ArtifactView`s of a step."""
    views = []
    for (name, item), text in stored.items():
        if name == step:
            reference = orjson.loads(text)
            href = f"/v1/jobs/{job}/artifacts/{name}" + (f"?item={item}" if item else "")
            views.append(
                {
                    "item": item or None,
                    "bytes": reference["bytes"],
                    "sha256": reference["sha256"],
                    "href": href,
                }
            )
    return views


def attempt_view(row: Any) -> dict[str, Any]:  # noqa: ANN401 - a row of `reads.read_tries`
    """An `AttemptView`."""
    return {
        "step": row["step"],
        "item": row["item"] or None,
        "attempt": row["attempt"],
        "worker": row["worker"],
        "latency_ms": row["latency_us"] / 1000,
        "failed_at": row["failed_at"],
        "kind": row["class"],
        "code": row["code"],
        "message": shown_message(row["code"], row["message"]),
        "next_try_at": row["due_at"],
    }


StoredStepView.model_rebuild()
