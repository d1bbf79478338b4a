"""Submitting jobs, and their state."""

from __future__ import annotations

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response

from headrace.web.auth.depends import Reader
from headrace.web.owned import OwnedJob
from headrace.web.problems import responses
from headrace.web.state import service_of

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


@router.get("/{job_id}", responses=responses("AUTH_REQUIRED", "FORBIDDEN", "NOT_FOUND"))
async def get_job(request: Request, job_id: OwnedJob, _: Reader) -> Response:
    """The state of a job with its steps."""
    status = await service_of(request).app.status(job_id)
    return Response(orjson.dumps(status), media_type="application/json")
