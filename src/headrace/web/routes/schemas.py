"""/v1/schemas: the named schemas of what goes in and comes out, with their versions."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from headrace.pipelines.consensus import SCHEMAS
from headrace.pipelines.consensus.errors import SchemaUnknownError
from headrace.pipelines.consensus.registry import SchemaVersion
from headrace.web.answers import json_response
from headrace.web.auth.depends import Reader
from headrace.web.problems import READING, not_found, responses
from headrace.web.views.jobs import JobView

router = APIRouter(prefix="/v1/schemas", tags=["schemas"])


SCHEMAS.add(
    SchemaVersion(
        name="JobStatus", version="1.0.0", model=JobView, migration_notes="The first version."
    )
)
"""What `/v1/jobs/{job_id}` answers."""


class SchemaView(BaseModel):
    """A schema in one version."""

    name: str = Field(examples=["PersonaReview"])
    version: str = Field(examples=["1.0.0"])
    is_current: bool
    is_deprecated: bool
    migration_notes: str
    prompt_set_version: str | None = Field(
        description="The prompts whose answers it was made for; null where no model answers."
    )


class SchemaDetail(SchemaView):
    """A schema with its JSON Schema."""

    json_schema: dict[str, Any]
    versions: list[str] = Field(description="All versions of this name, the newest first.")


class VersionQuery(BaseModel):
    """Which version."""

    model_config = ConfigDict(extra="forbid")

    version: str | None = Field(None, max_length=32, description="The current one if left out.")


@router.get(
    "",
    operation_id="list_schemas",
    response_model=list[SchemaView],
    responses=responses(*READING),
)
async def list_schemas(_identity: Reader) -> Response:
    """All schemas in all versions."""
    return json_response([_view(schema) for schema in SCHEMAS.all()])


@router.get(
    "/{schema}",
    operation_id="get_schema",
    response_model=SchemaDetail,
    responses=responses(*READING, "NOT_FOUND", malformed=True),
)
async def get_schema(
    request: Request,  # noqa: ARG001 - as all routes have it
    _identity: Reader,
    schema: Annotated[str, Path(max_length=100, description="Its name.")],
    wanted: Annotated[VersionQuery, Query()],
) -> Response:
    """A schema, to validate values with."""
    try:
        found = SCHEMAS.find(schema, wanted.version)
    except SchemaUnknownError as error:
        raise not_found("schema") from error
    versions = [one.version for one in SCHEMAS.versions(schema)]
    detail = {**_view(found), "json_schema": found.json_schema(), "versions": versions}
    return json_response(detail)


def _view(schema: SchemaVersion) -> dict[str, Any]:
    return {field: getattr(schema, field) for field in SchemaView.model_fields}
