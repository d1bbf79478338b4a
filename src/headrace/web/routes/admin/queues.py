"""/v1/admin/queues: queues are closed, opened and emptied for everybody."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import Path, Request
from fastapi.responses import Response

from headrace.errors import QueueNotFoundError
from headrace.store.forcing import PURGE_PAGE, count_in_queue, purge_queue
from headrace.store.gates import limit_queue, settle_gates
from headrace.store.operations import pause_queue, resume_queue
from headrace.store.reads import list_queue_names, list_queues
from headrace.telemetry.events import emit
from headrace.telemetry.gate_events import QueueLimited
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
from headrace.web.state import service_of
from headrace.web.views.admin import (
    AdminQueueView,
    DrainBody,
    DrainedQueue,
    LimitBody,
    PurgeBody,
    PurgedQueue,
    QueueLimit,
    QueueState,
    WhyBody,
    admin_queue_view,
)

if TYPE_CHECKING:
    from datetime import datetime

    from headrace.app import Headrace

router = admin_router("queues")

QueueName = Annotated[str, Path(max_length=200, pattern=r"^[^\x00]+$", description="Its name.")]


LONGEST_S: Final = 20.0
"""Of a call, within the time that a request may take."""
LOOK_S: Final = 0.5


@listing(router, "admin_list_queues", list[AdminQueueView])
async def admin_list_queues(request: Request, identity: Operator, reason: Why) -> Response:
    """Every queue, with the jobs of all tenants, and why it is paused."""
    await note(request, identity, "queue.list", "all", reason)
    async with service_of(request).app.connection() as connection:
        queues = await list_queues(connection)
    return json_response([admin_queue_view(queue) for queue in queues])


@action(router, "/{queue}/pause", "admin_pause_queue", QueueState)
async def admin_pause_queue(
    request: Request, identity: Operator, queue: QueueName, body: WhyBody
) -> Response:
    """Close a queue: what runs there finishes, nothing more is started."""
    await _close(request, identity, "queue.pause", queue, body.reason)
    return json_response({"name": queue, "is_paused": True})


@action(router, "/{queue}/resume", "admin_resume_queue", QueueState)
async def admin_resume_queue(
    request: Request, identity: Operator, queue: QueueName, body: WhyBody
) -> Response:
    """Open a queue again; nothing happens where it is open."""
    await _check(request, queue)
    async with acting(request, identity, "queue.resume", queue, body.reason) as act:
        await resume_queue(act.connection, queue)
        act.after = {"is_paused": False}
    return json_response({"name": queue, "is_paused": False})


@action(router, "/{queue}/drain", "admin_drain_queue", DrainedQueue)
async def admin_drain_queue(
    request: Request, identity: Operator, queue: QueueName, body: DrainBody
) -> Response:
    """Close a queue and wait until nothing runs there; `resume` opens it again.

    What waits stays. Where the jobs that run take longer than is waited, the answer says how many
    are left, and the queue stays closed: call again.
    """
    await _close(request, identity, "queue.drain", queue, body.reason)
    app = service_of(request).app
    until = _clock() + body.wait_s
    while True:
        async with app.connection() as connection:
            found = await count_in_queue(connection, queue)
        if not found.running or _clock() >= until:
            break
        await asyncio.sleep(min(LOOK_S, max(0.0, until - _clock())))
    answer = {"name": queue, "is_paused": True, "running": found.running}
    return json_response({**answer, "waiting": found.waiting, "complete": not found.running})


@action(router, "/{queue}/limit", "admin_limit_queue", QueueLimit)
async def admin_limit_queue(
    request: Request, identity: Operator, queue: QueueName, body: LimitBody
) -> Response:
    """Set how many jobs of a queue run at once, over all workers; null for any number.

    What runs already counts, and goes on. It takes effect at once.
    """
    await _check(request, queue)
    limit = {"concurrency": body.concurrency}
    await note(request, identity, "queue.limit", queue, body.reason, after=limit)
    # In a transaction of its own: no claim goes on before it ends.
    async with service_of(request).app.connection() as connection:
        before = await limit_queue(connection, queue, body.concurrency)
    emit(QueueLimited(queue=queue, concurrency=body.concurrency, actor=identity.subject))
    return json_response({"name": queue, **limit, "before": before})


@action(router, "/{queue}/purge", "admin_purge_queue", PurgedQueue)
async def admin_purge_queue(
    request: Request, identity: Operator, queue: QueueName, body: PurgeBody
) -> Response:
    """Cancel the jobs that wait in a queue; what runs there goes on, what comes meanwhile stays.

    It takes 20 s at most. A dry run counts what waits.
    """
    await _check(request, queue)
    app, why = service_of(request).app, body.reason
    async with app.connection() as connection:
        found = await count_in_queue(connection, queue)
    asked = {"waiting": found.waiting, "dry_run": body.dry_run}
    await note(request, identity, "queue.purge", queue, why, before=asked)
    if body.dry_run:
        done: dict[str, object] = {"cancelled": 0, "waiting": found.waiting, "complete": False}
    else:
        done = await _purge(app, queue, by=identity.subject, reason=why, before=found.at)
        await note(request, identity, "queue.purged", queue, why, after=done)
    return json_response({"name": queue, **done, "dry_run": body.dry_run})


async def _purge(
    app: Headrace, queue: str, *, by: str, reason: str, before: datetime
) -> dict[str, object]:
    until, cancelled, page = _clock() + LONGEST_S, 0, PURGE_PAGE
    while page == PURGE_PAGE and _clock() < until:
        async with app.connection() as connection:
            page = await purge_queue(connection, queue, by=by, reason=reason, before=before)
        cancelled += page
    async with app.connection() as connection:
        await settle_gates(connection, None)
        left = await count_in_queue(connection, queue)
    return {"cancelled": cancelled, "waiting": left.waiting, "complete": page < PURGE_PAGE}


async def _close(
    request: Request, identity: Operator, action: str, queue: str, reason: str
) -> None:
    await _check(request, queue)
    async with acting(request, identity, action, queue, reason) as act:
        await pause_queue(act.connection, queue, by=identity.subject, reason=reason)
        act.after = {"is_paused": True}


async def _check(request: Request, queue: str) -> None:
    app = service_of(request).app
    carried = {pipeline.queue for pipeline in app.pipelines.values()}
    async with app.connection() as connection:
        known = await list_queue_names(connection)
    if queue not in carried.union(known):
        raise QueueNotFoundError(queue, known)


def _clock() -> float:
    return asyncio.get_running_loop().time()
