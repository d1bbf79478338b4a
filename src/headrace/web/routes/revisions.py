"""Revisions of a reviewed idea, and what lies between two reviews."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from headrace.pipelines.consensus import JobDiff
from headrace.web.answers import json_response
from headrace.web.auth.depends import Reader, Writer
from headrace.web.consensus import refused, reviews_in
from headrace.web.gate.body import JSON_VALUE
from headrace.web.idempotency import keyed
from headrace.web.owned import OwnedJob
from headrace.web.problems import READING, WRITING, responses
from headrace.web.routes.submission import answer_stored, store_job
from headrace.web.views.consensus import RevisionBody, StoredRevision
from headrace.web.views.submission import NewJobBody

if TYPE_CHECKING:
    from headrace.pipelines.consensus import Prepared
    from headrace.web.auth.identity import Identity

router = APIRouter(prefix="/v1/jobs", tags=["consensus"])

OtherJob = Annotated[UUID, Path(description="The id of another job.")]


@router.post(
    "/{job_id}/revisions",
    status_code=202,
    operation_id="revise_idea",
    response_model=StoredRevision,
    responses=responses(
        *WRITING, "SCHEMA_VALIDATION_ERROR", "NOT_FOUND", "CONFLICT", malformed=True
    ),
    openapi_extra=keyed(),
)
async def revise_idea(
    request: Request, identity: Writer, job_id: OwnedJob, body: RevisionBody
) -> Response:
    """Have a reviewed idea reviewed again, with changes, as a job of its own.

    Reviews with little confidence or blocking issues are made again, the others are taken over.
    """
    prepared = await _prepare(request, identity, job_id, body)
    payload = prepared.given.model_dump(mode="json", exclude_none=True)
    wanted = NewJobBody(pipeline="consensus", payload=payload, parent_job_id=job_id)
    sent = [request.scope["path"], request.scope.get(JSON_VALUE)]
    job, stored = await store_job(request, identity, wanted, sent)
    more = {
        "parent_job_id": job_id,
        "personas_rerun": prepared.personas_rerun,
        "personas_reused": prepared.personas_reused,
    }
    return answer_stored(job, stored, more)


async def _prepare(request: Request, identity: Identity, job: UUID, body: RevisionBody) -> Prepared:
    with refused():
        return await reviews_in(request).prepare(
            str(job), body.edit(), tenant=identity.tenant, owner=identity.owner
        )


@router.get(
    "/{job_id}/diff/{another_id}",
    operation_id="compare_reviews",
    response_model=JobDiff,
    responses=responses(*READING, "NOT_FOUND", "CONFLICT", malformed=True),
)
async def compare_reviews(
    request: Request, identity: Reader, job_id: OwnedJob, another_id: OtherJob
) -> Response:
    """What differs between two reviewed ideas: proposals, reviews, decisions."""
    with refused():
        diff = await reviews_in(request).diff(
            str(job_id), str(another_id), tenant=identity.tenant, owner=identity.owner
        )
    return json_response(diff.model_dump(mode="json"))
