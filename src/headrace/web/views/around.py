"""What surrounds a job, as the API shows it: its waits, what was sent to it, its children."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from headrace.web.views.taking import taken

if TYPE_CHECKING:
    from headrace.client.status import JobStatus

State = Literal["queued", "running", "completed", "failed", "cancelled"]


class JobWait(BaseModel):
    """What a step waits for besides its inputs; it holds no slot meanwhile."""

    step: str = Field(examples=["decide"])
    item: str | None = Field(description="The key of the item, in a step with one a value.")
    kind: Literal["signal", "child", "delay"]
    name: str = Field(
        description="Of the signal; the id of the child job; empty for a delay.",
        examples=["approval"],
    )
    since: datetime
    until: datetime | None = Field(description="When it is over at the latest; null for a child.")
    pipeline: str | None = Field(description="Of the child job.")
    state: State | None = Field(description="Of the child job.")


class JobSignal(BaseModel):
    """What was sent to the present run of a job; its value is in `/signals`."""

    name: str = Field(examples=["approval"])
    state: Literal["received", "expired"] = Field(description="`expired`: none came in time.")
    at: datetime
    by: str | None = Field(description="Who sent it.", examples=["ann"])


class JobChild(BaseModel):
    """A job that a step of the job submitted."""

    job_id: UUID
    pipeline: str = Field(examples=["shipping"])
    state: State


def around_views(status: JobStatus) -> dict[str, Any]:
    """The fields of a `JobView` that tell what surrounds the job."""
    return {
        "waits": [taken(JobWait, wait) for wait in status.waits],
        "waits_total": status.waits_total,
        "signals": [taken(JobSignal, signal) for signal in status.signals],
        "children": [taken(JobChild, child, job_id=child.id) for child in status.children],
        "children_total": status.children_total,
    }
