"""One job: its state, its input and result, its steps, its history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from headrace.client.status import JobStatus, read_status
from headrace.client.waiting import read_output
from headrace.store.reads import JobInput, list_artifacts, read_history, read_input
from headrace.store.sql import SQL
from headrace.web.answers import json_response
from headrace.web.auth.depends import Reader
from headrace.web.auth.identity import Identity
from headrace.web.owned import OwnedJob
from headrace.web.problems import READING, ProblemError, not_found, responses
from headrace.web.state import service_of
from headrace.web.views.errors import shown_error, shown_message
from headrace.web.views.jobs import (
    SOONEST,
    AttemptView,
    HistoryView,
    JobInputView,
    JobResult,
    JobView,
    StoredStepView,
    artifact_views,
    attempt_view,
    history_view,
    job_view,
    look_again_at,
    step_view,
)
from headrace.web.wall import reading

if TYPE_CHECKING:
    from headrace.store.pool import Connection

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

OF_ONE = (*READING, "NOT_FOUND")


@router.get(
    "/{job_id}",
    operation_id="get_job",
    response_model=JobView,
    responses=responses(*OF_ONE, malformed=True),
)
async def get_job(request: Request, identity: Reader, job_id: OwnedJob) -> Response:
    """The state of a job with every step; those that have not started are `pending`."""
    status, more = await _read(request, job_id, identity)
    return json_response(job_view(status, more))


@router.get(
    "/{job_id}/result",
    operation_id="get_result",
    response_model=JobResult,
    responses=responses(*OF_ONE, "NOT_COMPLETED", "CHECKPOINT_CORRUPT", malformed=True),
)
async def get_result(request: Request, identity: Reader, job_id: OwnedJob) -> Response:
    """What a job made; 409 with its state while there is nothing, and where there never will be."""
    service = service_of(request)
    async with reading(request, identity) as connection:
        while True:
            row = await connection.fetchrow(SQL["reads.read_outcome"], job_id)
            if row is None:
                raise not_found()
            if row["state"] == "completed":
                break
            status, more = await _read_with(request, connection, job_id)
            if status.state != "completed":  # else it has just ended: then its result is there
                raise _no_result(status, more)
        pipeline = service.app.pipelines.get(row["pipeline"])
        text = await read_output(
            connection, job_id, row, pipeline, service.app.artifacts, shown=shown_message
        )
    return json_response(
        {
            "job_id": job_id,
            "run": row["run"],
            "state": "completed",
            "result": orjson.Fragment(text),
        }
    )


@router.get(
    "/{job_id}/input",
    operation_id="get_input",
    response_model=JobInputView,
    responses=responses(*OF_ONE, malformed=True),
)
async def get_input(request: Request, identity: Reader, job_id: OwnedJob) -> Response:
    """What a job was given, as it was accepted."""
    async with reading(request, identity) as connection:
        found = await read_input(connection, job_id)
    if found is None:
        raise not_found()
    return json_response(
        {
            "job_id": job_id,
            "payload": orjson.Fragment(found.input),
            "erased_at": found.erased_at,
        }
    )


@router.get(
    "/{job_id}/steps",
    operation_id="list_steps",
    response_model=list[StoredStepView],
    responses=responses(*OF_ONE, malformed=True),
)
async def list_steps(request: Request, identity: Reader, job_id: OwnedJob) -> Response:
    """The steps of the present run, in order, with their latencies and large outputs."""
    async with reading(request, identity) as connection:
        status, _ = await _read_with(request, connection, job_id)
        stored = await list_artifacts(connection, job_id, status.run)
    return json_response(
        [
            {**step_view(step), "artifacts": artifact_views(job_id, stored, step.name)}
            for step in status.steps
        ]
    )


@router.get(
    "/{job_id}/history",
    operation_id="list_history",
    response_model=list[HistoryView],
    responses=responses(*OF_ONE, malformed=True),
)
async def list_history(
    request: Request,
    identity: Reader,
    job_id: OwnedJob,
    after: Annotated[int, Query(ge=0, le=2**31 - 1, description="`seq` of the last known.")] = 0,
) -> Response:
    """The transitions of a job, oldest first; at most 1,000 at a time."""
    async with reading(request, identity) as connection:
        entries = await read_history(connection, job_id, after=after)
    return json_response([history_view(entry) for entry in entries])


@router.get(
    "/{job_id}/attempts",
    operation_id="list_attempts",
    response_model=list[AttemptView],
    responses=responses(*OF_ONE, malformed=True),
)
async def list_attempts(request: Request, identity: Reader, job_id: OwnedJob) -> Response:
    """The tries of the present run that failed or were put off, oldest first."""
    async with reading(request, identity) as connection:
        row = await connection.fetchrow(SQL["reads.read_outcome"], job_id)
        if row is None:
            raise not_found()
        tries = await connection.fetch(SQL["reads.read_tries"], job_id, row["run"])
    return json_response([attempt_view(row) for row in tries])


async def _read(request: Request, job: UUID, identity: Identity) -> tuple[JobStatus, JobInput]:
    async with reading(request, identity) as connection:
        return await _read_with(request, connection, job)


async def _read_with(
    request: Request, connection: Connection, job: UUID
) -> tuple[JobStatus, JobInput]:
    pipelines = service_of(request).app.pipelines
    status = await read_status(connection, job, pipelines.get)
    more = await read_input(connection, job)
    if status is None or more is None:  # deleted since it was found
        raise not_found()
    return status, more


def _no_result(status: JobStatus, more: JobInput) -> ProblemError:
    again = look_again_at(status, more.now)
    headers = {}
    if again is not None:
        wait = max(again - more.now, SOONEST)
        headers["Retry-After"] = str(round(wait.total_seconds()))
    facts: dict[str, Any] = {"state": status.state, "error": shown_error(status.error)}
    return ProblemError("NOT_COMPLETED", f"the job is {status.state}", headers=headers, facts=facts)
