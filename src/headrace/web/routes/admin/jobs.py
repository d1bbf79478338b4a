"""/v1/admin/jobs: jobs of all tenants are listed, cancelled and run again."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Path, Query, Request
from fastapi.responses import Response

from headrace.store.audit import record_action
from headrace.store.operations import cancel_job
from headrace.store.reads import JobFilter, list_jobs
from headrace.web.answers import json_response
from headrace.web.auth.depends import Operator
from headrace.web.idempotency import keyed
from headrace.web.problems import responses
from headrace.web.routes.admin.recording import (
    OF_ACTIONS,
    OF_LISTS,
    Why,
    acting,
    action_of,
    admin_router,
    note,
)
from headrace.web.routes.listing import JobQuery, Name
from headrace.web.state import service_of
from headrace.web.views.actions import Cancelled, Reopened
from headrace.web.views.admin import AdminJobPage, RequeueBody, WhyBody, admin_job_view

router = admin_router("jobs")

JobId = Annotated[UUID, Path(description="The id of a job of any tenant.")]


class AdminJobQuery(JobQuery):
    """Which jobs of which tenant."""

    reason: Why
    tenant: Name | None = None
    owner: Name | None = None


@router.get(
    "",
    operation_id="admin_list_jobs",
    response_model=AdminJobPage,
    responses=responses(*OF_LISTS, malformed=True),
)
async def admin_list_jobs(
    request: Request, identity: Operator, wanted: Annotated[AdminJobQuery, Query()]
) -> Response:
    """Jobs of all tenants, newest first."""
    chosen = JobFilter(
        tenant=wanted.tenant,
        owner=wanted.owner,
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
    await note(request, identity, "job.list", wanted.tenant or "all tenants", wanted.reason)
    async with service_of(request).app.connection() as connection:
        found = await list_jobs(
            connection, chosen, before=wanted.cursor, limit=wanted.limit + 1, offset=wanted.offset
        )
    page = found[: wanted.limit]
    following = page[-1].id if len(found) > wanted.limit else None
    items = [admin_job_view(job) for job in page]
    return json_response({"items": items, "limit": wanted.limit, "next": following})


@router.post(
    "/{job_id}/cancel",
    operation_id="admin_cancel_job",
    response_model=Cancelled,
    responses=responses(*OF_ACTIONS, malformed=True),
    openapi_extra=keyed(),
)
async def admin_cancel_job(
    request: Request, identity: Operator, job_id: JobId, body: WhyBody
) -> Response:
    """Cancel a job of any tenant: a queued one at once, a running one within seconds."""
    async with acting(request) as connection:
        state = await cancel_job(connection, job_id, by=identity.subject, reason=body.reason)
        done = action_of(
            request, identity, "job.cancel", str(job_id), body.reason, after={"state": state}
        )
        await record_action(connection, done)
    return json_response({"job_id": job_id, "state": state})


@router.post(
    "/{job_id}/requeue",
    status_code=202,
    operation_id="admin_requeue_job",
    response_model=Reopened,
    responses=responses(*OF_ACTIONS, malformed=True),
    openapi_extra=keyed(),
)
async def admin_requeue_job(
    request: Request, identity: Operator, job_id: JobId, body: RequeueBody
) -> Response:
    """Open the next run of a failed or cancelled job of any tenant."""
    run = await requeue(request, identity, job_id, body)
    return json_response({"job_id": job_id, "run": run, "state": "queued"}, 202)


async def requeue(request: Request, identity: Operator, job: UUID, body: RequeueBody) -> int:
    """Open the next run of a job: recorded when it is asked for, and when it is done."""
    target, why = str(job), body.reason
    await note(request, identity, "job.requeue", target, why, before=body.model_dump())
    run = await service_of(request).app.retry(
        job,
        from_step=body.from_step,
        force=body.force,
        reason=why,
        actor=identity.subject,
    )
    await note(request, identity, "job.requeued", target, why, after={"run": run})
    return run
