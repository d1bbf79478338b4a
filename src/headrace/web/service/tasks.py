"""POST /process, in development, and POST /tasks/sweep, for a scheduler."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from headrace.telemetry.events import Level, add_sink
from headrace.telemetry.job_events import JobClaimed
from headrace.web.answers import json_response
from headrace.web.auth.depends import Operator, Writer
from headrace.web.problems import READING, not_found, responses
from headrace.web.state import service_of
from headrace.web.views.service import Processed, Swept

if TYPE_CHECKING:
    from uuid import UUID

    from headrace.app import Headrace
    from headrace.telemetry.events import Event
    from headrace.worker.worker import Worker

router = APIRouter(tags=["service"])

LIMIT_S: Final = 60.0


@router.post(
    "/process",
    operation_id="process",
    response_model=Processed,
    responses=responses(*READING, "NOT_FOUND"),
)
async def process(request: Request, _: Writer) -> Response:
    """Run one due job here and now, in development; elsewhere there is no such path.

    It is claimed as any worker claims it, whosever it is. After 60 s it is handed back.
    """
    app = service_of(request).app
    if app.settings.env != "development":
        raise not_found("path")
    queues = {pipeline.queue for pipeline in app.pipelines.values()}
    job = await _run_one(app.worker(queues=sorted(queues), concurrency=1))
    state = None if job is None else str((await app.status(job)).state)
    return json_response(
        {
            "processed": int(job is not None),
            "job_id": None if job is None else str(job),
            "state": state,
        }
    )


async def _run_one(worker: Worker) -> UUID | None:
    claimed: list[UUID] = []

    def note(event: Event) -> None:
        if isinstance(event, JobClaimed) and event.worker_id == worker.number:
            claimed.append(event.job_id)

    remove = add_sink(note, level=Level.DEBUG, kinds=[JobClaimed])
    timer = asyncio.get_running_loop().call_later(LIMIT_S, _end_at_once, worker)
    try:
        await worker.run(most=1)
    finally:
        timer.cancel()
        remove()
    return claimed[0] if claimed else None


def _end_at_once(worker: Worker) -> None:
    worker.stop()
    worker.stop()


@router.post(
    "/tasks/sweep",
    operation_id="sweep",
    response_model=Swept,
    responses=responses(*READING),
)
async def sweep(request: Request, _: Operator) -> Response:
    """Do once what workers do all the time beside jobs; for a service that scales to zero.

    Jobs whose time has come become due, queued ones whose deadline is over fail, jobs of dead
    workers are free again, old records are deleted. It takes a few seconds, and 60 at most.
    """
    return json_response(await _sweep(service_of(request).app))


async def _sweep(app: Headrace) -> dict[str, object]:
    worker = app.worker()
    try:
        return dataclasses.asdict(await worker.sweep(within_s=LIMIT_S))
    finally:
        await worker.close()
