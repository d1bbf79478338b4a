"""GET /v1/jobs: the caller's jobs."""

from __future__ import annotations

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from headrace.model.job import FailureCause, WaitReason
from headrace.store.reads import JobFilter, count_jobs, list_jobs
from headrace.web.answers import json_response
from headrace.web.auth.depends import Reader
from headrace.web.problems import READING, responses
from headrace.web.views.jobs import JobPage, State, summary_view
from headrace.web.views.times import Time
from headrace.web.wall import reading

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

COUNT_MOST: Final = 10_000
OFFSET_MOST: Final = 100_000
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]


class JobQuery(BaseModel):
    """Which jobs, and which part of the list."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(30, ge=1, le=100, description="Most jobs of a page.")
    cursor: UUID | None = Field(None, description="`next` of the page before.")
    offset: int = Field(0, ge=0, le=OFFSET_MOST, description="Jobs to pass over; no cursor then.")
    state: list[State] | None = Field(None, description="One of these states; can be repeated.")
    wait_reason: WaitReason | None = None
    pipeline: Name | None = None
    preset: Name | None = None
    queue: Name | None = None
    priority: int | None = Field(None, ge=0, le=9)
    parent_job_id: UUID | None = None
    correlation_id: Name | None = None
    cause: FailureCause | None = None
    start_date: Time | None = Field(None, description="Created then or later.")
    end_date: Time | None = Field(None, description="Created before.")

    @model_validator(mode="after")
    def _one_way(self) -> JobQuery:
        if self.cursor is not None and self.offset:
            raise ValueError("give a cursor or an offset, not both")
        return self


def filter_of(wanted: JobQuery, tenant: str | None, owner: str | None) -> JobFilter:
    """What is asked for, of a tenant and an owner; None for all."""
    return JobFilter(
        tenant=tenant,
        owner=owner,
        states=wanted.state,
        pipeline=wanted.pipeline,
        preset=wanted.preset,
        queue=wanted.queue,
        priority=wanted.priority,
        wait_reason=wanted.wait_reason,
        cause=wanted.cause,
        correlation_id=wanted.correlation_id,
        parent_job=wanted.parent_job_id,
        created_since=wanted.start_date,
        created_before=wanted.end_date,
    )


@router.get(
    "",
    operation_id="list_jobs",
    response_model=JobPage,
    responses=responses(*READING, malformed=True),
)
async def list_own_jobs(
    request: Request, wanted: Annotated[JobQuery, Query()], identity: Reader
) -> Response:
    """The caller's jobs, newest first; all of the tenant's with `tenant:admin`."""
    chosen = filter_of(wanted, identity.tenant, identity.sees_owner())
    async with reading(request, identity) as connection:
        found = await list_jobs(
            connection, chosen, before=wanted.cursor, limit=wanted.limit + 1, offset=wanted.offset
        )
        total = await count_jobs(connection, chosen, most=COUNT_MOST + 1)
    page = found[: wanted.limit]
    return json_response(
        {
            "items": [summary_view(job) for job in page],
            "total": min(total, COUNT_MOST),
            "is_total_exact": total <= COUNT_MOST,
            "limit": wanted.limit,
            "next": page[-1].id if len(found) > wanted.limit else None,
        }
    )
