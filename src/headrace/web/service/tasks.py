"""POST /process, in development, and POST /tasks/..., for a scheduler."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from fastapi import APIRouter, Request
from fastapi.responses import Response

from headrace.telemetry.events import Level, add_sink
from headrace.telemetry.job_events import (
    JobCancelled,
    JobClaimed,
    JobCompleted,
    JobFailed,
    JobReleased,
    JobTimeout,
)
from headrace.web.answers import json_response
from headrace.web.auth.depends import Writer
from headrace.web.auth.schedulers import Scheduler
from headrace.web.problems import READING, not_found, responses
from headrace.web.state import service_of
from headrace.web.views.service import Cleaned, DrainedOnce, Processed, Relayed, Swept

if TYPE_CHECKING:
    from uuid import UUID

    from pydantic import BaseModel

    from headrace.app import Headrace
    from headrace.telemetry.events import Event
    from headrace.worker.worker import Worker

F = TypeVar("F", bound=Callable[..., Any])
Done = TypeVar("Done", bound="Any")
router = APIRouter(tags=["service"])

LIMIT_S: Final = 60.0
START_S: Final = 45.0
FINISH_S: Final = 55.0
RELAY_MOST: Final = 10_000
ENDS: Final[dict[type[Event], str]] = {
    JobCompleted: "completed",
    JobFailed: "failed",
    JobTimeout: "failed",
    JobCancelled: "cancelled",
    JobReleased: "released",
}
"""What is counted of jobs, by the events that tell it."""


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
    job = await _run_one(app.worker(queues=_queues(app), concurrency=1))
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


def _task(name: str, model: type[BaseModel]) -> Callable[[F], F]:
    """Makes a function the route of a task for a scheduler."""
    return router.post(
        f"/tasks/{name}",
        operation_id=name.replace("-", "_"),
        response_model=model,
        responses=responses(*READING),
    )


@_task("sweep", Swept)
async def sweep(request: Request, _: Scheduler) -> Response:
    """Do once what workers do all the time beside jobs; for a service that scales to zero.

    Jobs whose time has come become due, queued ones whose deadline is over fail, jobs of dead
    workers are free again, old records are deleted. It takes a few seconds, and 60 at most.
    """
    return await _once(request, lambda worker: worker.sweep(within_s=LIMIT_S))


@_task("relay", Relayed)
async def relay(request: Request, _: Scheduler) -> Response:
    """Send once what is due to leave: events for webhooks, and messages for topics.

    It takes 60 s at most; what is cut off is sent again later.
    """
    return await _once(request, lambda worker: worker.relay(limit=RELAY_MOST, within_s=LIMIT_S))


@_task("cleanup", Cleaned)
async def cleanup(request: Request, _: Scheduler) -> Response:
    """Delete once what is old enough, as workers do each hour; it takes 60 s at most."""
    return await _once(request, lambda worker: worker.clean_up(within_s=LIMIT_S))


@_task("drain-once", DrainedOnce)
async def drain_once(request: Request, _: Scheduler) -> Response:
    """Run here what is due, until nothing is, in all queues that this app carries.

    After 45 s nothing more is started; what has not ended 10 s later is handed back, and goes on
    elsewhere, or with the next call.
    """
    app = service_of(request).app
    await app.open()
    counts = DrainedCounts()
    worker = app.worker(queues=_queues(app))
    remove = add_sink(
        lambda event: counts.note(event, worker.number), level=Level.DEBUG, kinds=ENDS
    )
    loop = asyncio.get_running_loop()
    timers = [loop.call_later(seconds, worker.stop) for seconds in (START_S, FINISH_S)]
    try:
        await worker.run(until_empty=True)
    finally:
        for timer in timers:
            timer.cancel()
        remove()
    complete = loop.time() < timers[0].when()
    return json_response({**dataclasses.asdict(counts), "complete": complete})


async def _once(request: Request, work: Callable[[Worker], Awaitable[Done]]) -> Response:
    app = service_of(request).app
    await app.open()  # a push worker may be asked before its first message
    worker = app.worker()
    try:
        done = await work(worker)
        if worker.parts.broker is not None:
            await worker.parts.broker.close()  # its rings leave before the answer
        return json_response(dataclasses.asdict(done))
    finally:
        await worker.close()


@dataclass(slots=True)
class DrainedCounts:
    """What became of jobs while a process drained."""

    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    released: int = 0

    def note(self, event: Event, worker: str | None) -> None:
        """Count what an event of that worker tells."""
        if getattr(event, "worker_id", None) == worker:
            name = ENDS[type(event)]
            setattr(self, name, getattr(self, name) + 1)


def _queues(app: Headrace) -> list[str]:
    return sorted({pipeline.queue for pipeline in app.pipelines.values()})
