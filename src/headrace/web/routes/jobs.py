"""Submitting jobs, and their state."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from headrace.web.auth.depends import Reader, Writer
from headrace.web.owned import OwnedJob
from headrace.web.problems import responses
from headrace.web.state import service_of

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


class Submission(BaseModel):
    """A job to be stored."""

    model_config = ConfigDict(extra="forbid")

    pipeline: str = Field(examples=["documents"])
    payload: Any = Field(description="The input of the pipeline.")


@router.post("", status_code=202, responses=responses("AUTH_REQUIRED", "FORBIDDEN", "NOT_FOUND"))
async def submit_job(request: Request, body: Submission, identity: Writer) -> Response:
    """Store a job."""
    app = service_of(request).app
    pipeline = app.pipeline(body.pipeline)
    value = pipeline.input.decode(orjson.dumps(body.payload).decode())
    job = await app.submit(pipeline, value, tenant=identity.tenant, owner=identity.owner)
    answer = {"job_id": job.id, "run": 1, "state": "queued", "pipeline": body.pipeline}
    headers = {"Location": f"/v1/jobs/{job.id}"}
    return Response(orjson.dumps(answer), 202, headers, "application/json")


@router.get("/{job_id}", responses=responses("AUTH_REQUIRED", "FORBIDDEN", "NOT_FOUND"))
async def get_job(request: Request, job_id: OwnedJob, _: Reader) -> Response:
    """The state of a job with its steps."""
    status = await service_of(request).app.status(job_id)
    return Response(orjson.dumps(status), media_type="application/json")
