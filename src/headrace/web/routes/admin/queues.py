"""/v1/admin/queues: queues are closed and opened for everybody."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Request
from fastapi.responses import Response

from headrace.errors import QueueNotFoundError
from headrace.store.audit import record_action
from headrace.store.operations import pause_queue, resume_queue
from headrace.store.reads import list_queue_names, list_queues
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
from headrace.web.state import service_of
from headrace.web.views.admin import AdminQueueView, QueueState, WhyBody, admin_queue_view

router = admin_router("queues")

QueueName = Annotated[str, Path(max_length=200, pattern=r"^[^\x00]+$", description="Its name.")]


@router.get(
    "",
    operation_id="admin_list_queues",
    response_model=list[AdminQueueView],
    responses=responses(*OF_LISTS, malformed=True),
)
async def admin_list_queues(request: Request, identity: Operator, reason: Why) -> Response:
    """Every queue, with the jobs of all tenants, and why it is paused."""
    await note(request, identity, "queue.list", "all", reason)
    async with service_of(request).app.connection() as connection:
        queues = await list_queues(connection)
    return json_response([admin_queue_view(queue) for queue in queues])


@router.post(
    "/{queue}/pause",
    operation_id="admin_pause_queue",
    response_model=QueueState,
    responses=responses(*OF_ACTIONS, malformed=True),
    openapi_extra=keyed(),
)
async def admin_pause_queue(
    request: Request, identity: Operator, queue: QueueName, body: WhyBody
) -> Response:
    """Close a queue: what runs there finishes, nothing more is started."""
    return await _set(request, identity, queue, body.reason, is_paused=True)


@router.post(
    "/{queue}/resume",
    operation_id="admin_resume_queue",
    response_model=QueueState,
    responses=responses(*OF_ACTIONS, malformed=True),
    openapi_extra=keyed(),
)
async def admin_resume_queue(
    request: Request, identity: Operator, queue: QueueName, body: WhyBody
) -> Response:
    """Open a queue again; nothing happens where it is open."""
    return await _set(request, identity, queue, body.reason, is_paused=False)


async def _set(
    request: Request, identity: Operator, queue: str, reason: str, *, is_paused: bool
) -> Response:
    carried = {pipeline.queue for pipeline in service_of(request).app.pipelines.values()}
    async with acting(request) as connection:
        known = await list_queue_names(connection)
        if queue not in carried.union(known):
            raise QueueNotFoundError(queue, known)
        if is_paused:
            await pause_queue(connection, queue, by=identity.subject, reason=reason)
        else:
            await resume_queue(connection, queue)
        word = "queue.pause" if is_paused else "queue.resume"
        done = action_of(request, identity, word, queue, reason, after={"is_paused": is_paused})
        await record_action(connection, done)
    return json_response({"name": queue, "is_paused": is_paused})
