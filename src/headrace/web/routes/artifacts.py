"""GET /v1/jobs/{id}/artifacts/{name}: an output that is too large for the database."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from headrace.store.reads import list_artifacts
from headrace.store.sql import SQL
from headrace.web.auth.depends import Reader
from headrace.web.owned import OwnedJob
from headrace.web.problems import READING, not_found, responses
from headrace.web.state import service_of
from headrace.web.wall import reading

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


@router.get(
    "/{job_id}/artifacts/{name}",
    operation_id="get_artifact",
    response_class=Response,
    responses={
        200: {
            "description": "The output, as JSON, exactly as it was stored.",
            "content": {"application/json": {"schema": {}}},
        },
        **responses(*READING, "NOT_FOUND", "CHECKPOINT_CORRUPT", malformed=True),
    },
)
async def get_artifact(
    request: Request,
    identity: Reader,
    job_id: OwnedJob,
    name: Annotated[str, Path(max_length=200, description="The step.")],
    item: Annotated[str, Query(max_length=1_000, description="The item of a fan-out.")] = "",
) -> Response:
    """The bytes of an output of the present run that is stored as an artifact."""
    async with reading(request, identity) as connection:
        row = await connection.fetchrow(SQL["reads.read_outcome"], job_id)
        stored = {} if row is None else await list_artifacts(connection, job_id, row["run"])
    reference = stored.get((name, item))
    if reference is None:
        raise not_found("artifact")
    text = await service_of(request).app.artifacts.read(reference)
    return Response(text, media_type="application/json")
