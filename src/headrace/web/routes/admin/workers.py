"""/v1/admin/workers: workers are listed, and ended in good order."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Path, Query, Request
from fastapi.responses import Response

from headrace.store.operations import drain_workers
from headrace.store.reads import list_workers
from headrace.web.answers import json_response
from headrace.web.auth.depends import Operator
from headrace.web.problems import not_found
from headrace.web.routes.admin.recording import (
    Why,
    acting,
    action,
    admin_router,
    listing,
    note,
)
from headrace.web.state import service_of
from headrace.web.views.admin import Drained, WhyBody, WorkerView, worker_view

router = admin_router("workers")

LARGEST: Final = 2**31 - 1
Number = Annotated[int, Path(ge=1, le=LARGEST, description="The number of a worker.")]


@listing(router, "admin_list_workers", list[WorkerView])
async def admin_list_workers(
    request: Request,
    identity: Operator,
    reason: Why,
    limit: Annotated[int, Query(ge=1, le=1_000, description="Most workers.")] = 100,
) -> Response:
    """Workers, newest first; those that ended in the last days too."""
    await note(request, identity, "worker.list", "all", reason)
    async with service_of(request).app.connection() as connection:
        workers = await list_workers(connection, limit=limit)
    return json_response([worker_view(worker) for worker in workers])


@action(router, "/{worker_id}/drain", "admin_drain_worker", Drained, status=202)
async def admin_drain_worker(
    request: Request, identity: Operator, worker_id: Number, body: WhyBody
) -> Response:
    """Ask a worker to take nothing new, finish what it runs, and end; 404 where none lives."""
    async with acting(request, identity, "worker.drain", str(worker_id), body.reason) as act:
        if not await drain_workers(act.connection, [worker_id]):
            raise not_found("worker")
    return json_response({"worker_id": worker_id, "state": "draining"}, 202)
