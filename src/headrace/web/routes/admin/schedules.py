"""/v1/admin/schedules: what submits jobs by the clock is looked at, paused and triggered."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Request
from fastapi.responses import Response

from headrace.client.schedules import tell_paused, tell_resumed
from headrace.store.schedules import list_schedules, pause_schedule, resume_schedule
from headrace.web.answers import json_response
from headrace.web.auth.depends import Operator
from headrace.web.problems import REQUEST_ID
from headrace.web.routes.admin.recording import (
    Why,
    acting,
    action,
    admin_router,
    listing,
    note,
)
from headrace.web.state import service_of
from headrace.web.views.admin import WhyBody
from headrace.web.views.schedules import ScheduleView, TriggeredSchedule, schedule_view

router = admin_router("schedules")

Address = Annotated[
    str,
    Path(
        max_length=201,
        pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*\.[^.\x00]+$",
        description="Pipeline and name, as `reports.nightly`.",
    ),
]


@listing(router, "admin_list_schedules", list[ScheduleView])
async def admin_list_schedules(request: Request, identity: Operator, reason: Why) -> Response:
    """Every schedule that a worker has defined, 1,000 at most, by pipeline and name."""
    await note(request, identity, "schedule.list", "all", reason)
    async with service_of(request).app.connection() as connection:
        found = await list_schedules(connection)
    return json_response([schedule_view(one) for one in found])


@action(router, "/{schedule}/pause", "admin_pause_schedule", ScheduleView)
async def admin_pause_schedule(
    request: Request, identity: Operator, schedule: Address, body: WhyBody
) -> Response:
    """Let the slots of a schedule pass without jobs."""
    who = identity.subject
    async with acting(request, identity, "schedule.pause", schedule, body.reason) as act:
        found = await pause_schedule(act.connection, schedule, by=who, reason=body.reason)
        act.after = {"paused": True}
    tell_paused(found, actor=who, reason=body.reason)
    return json_response(schedule_view(found))


@action(router, "/{schedule}/resume", "admin_resume_schedule", ScheduleView)
async def admin_resume_schedule(
    request: Request, identity: Operator, schedule: Address, body: WhyBody
) -> Response:
    """Let a schedule go on with its next slot; those that passed meanwhile have no jobs."""
    async with acting(request, identity, "schedule.resume", schedule, body.reason) as act:
        found, resumed = await resume_schedule(act.connection, schedule)
        act.after = {"paused": False, "was_paused": resumed}
    if resumed:
        tell_resumed(found, actor=identity.subject, reason=body.reason)
    return json_response(schedule_view(found))


@action(router, "/{schedule}/trigger", "admin_trigger_schedule", TriggeredSchedule)
async def admin_trigger_schedule(
    request: Request, identity: Operator, schedule: Address, body: WhyBody
) -> Response:
    """Submit a job for the present moment, besides those of the slots.

    The function of the schedule is called by this service, which must carry its pipeline.
    """
    schedules = service_of(request).app.schedules
    job = await schedules.trigger(
        schedule,
        reason=body.reason,
        actor=identity.subject,
        request=request.scope.get(REQUEST_ID),
    )
    return json_response({"schedule": schedule, "job_id": str(job)})
