"""/v1/admin/jobs: jobs of all tenants are listed, ended, taken away and run again."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import Path, Query, Request
from fastapi.responses import Response

from headrace.model.job import FailureCause, JobState
from headrace.store.children import cancel_orphans, orphans_of
from headrace.store.forcing import Forced, fail_job, force_release
from headrace.store.gates import settle_gates
from headrace.store.operations import cancel_job
from headrace.store.reads import list_jobs
from headrace.telemetry.events import emit
from headrace.telemetry.job_events import JobFailed
from headrace.web.answers import json_response
from headrace.web.auth.depends import Operator
from headrace.web.routes.admin.recording import (
    Why,
    acting,
    action,
    admin_router,
    listing,
    note,
)
from headrace.web.routes.listing import JobQuery, Name, filter_of
from headrace.web.state import service_of
from headrace.web.views.actions import Cancelled, Reopened
from headrace.web.views.admin import (
    AdminJobPage,
    Failed,
    Released,
    RequeueBody,
    WhyBody,
    admin_job_view,
)

router = admin_router("jobs")

JobId = Annotated[UUID, Path(description="The id of a job of any tenant.")]


class AdminJobQuery(JobQuery):
    """Which jobs of which tenant."""

    reason: Why
    tenant: Name | None = None
    owner: Name | None = None


@listing(router, "admin_list_jobs", AdminJobPage)
async def admin_list_jobs(
    request: Request, identity: Operator, wanted: Annotated[AdminJobQuery, Query()]
) -> Response:
    """Jobs of all tenants, newest first."""
    chosen = filter_of(wanted, wanted.tenant, wanted.owner)
    await note(request, identity, "job.list", wanted.tenant or "all tenants", wanted.reason)
    async with service_of(request).app.connection() as connection:
        found = await list_jobs(
            connection, chosen, before=wanted.cursor, limit=wanted.limit + 1, offset=wanted.offset
        )
    page = found[: wanted.limit]
    following = page[-1].id if len(found) > wanted.limit else None
    items = [admin_job_view(job) for job in page]
    return json_response({"items": items, "limit": wanted.limit, "next": following})


@action(router, "/{job_id}/cancel", "admin_cancel_job", Cancelled)
async def admin_cancel_job(
    request: Request, identity: Operator, job_id: JobId, body: WhyBody
) -> Response:
    """Cancel a job of any tenant: a queued one at once, a running one within seconds."""
    async with acting(request, identity, "job.cancel", str(job_id), body.reason) as act:
        state = await cancel_job(act.connection, job_id, by=identity.subject, reason=body.reason)
        act.after = {"state": state}
    await _let_others_in(request, job_id)
    return json_response({"job_id": job_id, "state": state})


@action(router, "/{job_id}/force-release", "admin_release_job", Released)
async def admin_release_job(
    request: Request, identity: Operator, job_id: JobId, body: WhyBody
) -> Response:
    """Take a running job away from its worker, and queue it again with what is stored.

    The worker is not asked. Whatever it still writes for the job is refused, but its step goes on
    until then, beside the one that another worker begins.
    """
    settings = service_of(request).settings
    async with acting(request, identity, "job.force-release", str(job_id), body.reason) as act:
        state = await force_release(
            act.connection,
            job_id,
            by=identity.subject,
            reason=body.reason,
            head_start=timedelta(seconds=settings.priority_step_s),
        )
        act.after = {"state": state}
    await _let_others_in(request, job_id)
    return json_response({"job_id": job_id, "state": state})


@action(router, "/{job_id}/fail", "admin_fail_job", Failed)
async def admin_fail_job(
    request: Request, identity: Operator, job_id: JobId, body: WhyBody
) -> Response:
    """End a queued or running job as failed: it becomes a dead letter, and can be redriven.

    One whose cancellation was asked for is cancelled.
    """
    async with acting(request, identity, "job.fail", str(job_id), body.reason) as act:
        ended = await fail_job(act.connection, job_id, by=identity.subject, reason=body.reason)
        act.after = {"state": ended.state}
    await _let_others_in(request, job_id)
    if ended.state is JobState.FAILED:
        _announce(job_id, ended)
    return json_response({"job_id": job_id, "state": ended.state})


async def _let_others_in(request: Request, job: UUID) -> None:
    """Those that waited for the job run now, not at the next sweep; that is committed by then.

    Its children are cancelled where it ended without them.
    """
    async with service_of(request).app.connection() as connection:
        await settle_gates(connection, [job])
        await cancel_orphans(connection, await orphans_of(connection, [job]))


def _announce(job: UUID, ended: Forced) -> None:
    emit(
        JobFailed(
            job_id=job,
            run=ended.run,
            pipeline=ended.pipeline,
            version=ended.version,
            queue=ended.queue,
            tenant=ended.tenant,
            correlation_id=ended.correlation_id,
            cause=FailureCause.OPERATOR,
            job_latency_ms=ended.job_latency_ms,
            error_code="OPERATOR",
        )
    )


@action(router, "/{job_id}/requeue", "admin_requeue_job", Reopened, status=202)
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
