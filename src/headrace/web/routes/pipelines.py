"""GET /v1/pipelines: what can be submitted here, and how."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from headrace.store.reads import list_pipelines
from headrace.web.answers import json_response
from headrace.web.auth.depends import Reader
from headrace.web.problems import READING, not_found, responses
from headrace.web.state import service_of
from headrace.web.views.operations import (
    PipelineDetail,
    PipelineView,
    pipeline_detail,
    pipeline_view,
)
from headrace.web.wall import reading

router = APIRouter(prefix="/v1/pipelines", tags=["pipelines"])


@router.get(
    "",
    operation_id="list_pipelines",
    response_model=list[PipelineView],
    responses=responses(*READING),
)
async def list_own_pipelines(request: Request, identity: Reader) -> Response:
    """The pipelines that this service carries, with their steps, presets and limits."""
    service = service_of(request)
    async with reading(request, identity) as connection:
        registered = await list_pipelines(connection)
    carried = service.app.pipelines.values()
    return json_response([pipeline_view(one, registered, service.settings) for one in carried])


@router.get(
    "/{name}",
    operation_id="get_pipeline",
    response_model=PipelineDetail,
    responses=responses(*READING, "NOT_FOUND", malformed=True),
)
async def get_pipeline(
    request: Request,
    identity: Reader,
    name: Annotated[str, Path(max_length=200, description="The name of a pipeline.")],
) -> Response:
    """One pipeline, with the JSON schemas of its payload and its result."""
    service = service_of(request)
    pipeline = service.app.pipelines.get(name)
    if pipeline is None:
        raise not_found("pipeline")
    async with reading(request, identity) as connection:
        registered = await list_pipelines(connection)
    return json_response(pipeline_detail(pipeline, registered, service.settings))
