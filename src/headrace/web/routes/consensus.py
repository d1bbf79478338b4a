"""/v1/consensus: ideas are reviewed; small questions are answered while the caller waits.

They are there only where the app carries the pipeline `consensus`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from headrace.client.status import read_status
from headrace.errors import JobCancelledError, JobFailedError
from headrace.store.reads import loaded
from headrace.store.sql import SQL
from headrace.web.answers import json_response
from headrace.web.auth.depends import Writer
from headrace.web.auth.identity import Identity
from headrace.web.gate.body import JSON_VALUE
from headrace.web.idempotency import keyed
from headrace.web.problems import CODES, WRITING, ProblemError, not_found, responses
from headrace.web.routes.submission import answer_stored, store_job
from headrace.web.state import service_of
from headrace.web.views.consensus import ExpandedIdea, IdeaBody, QuickReview, ReviewsBody
from headrace.web.views.errors import shown_error
from headrace.web.views.submission import NewJobBody, SubmittedJob
from headrace.web.wall import reading

if TYPE_CHECKING:
    from headrace.store.requests import NewJob
    from headrace.web.submitting import Stored

router = APIRouter(prefix="/v1/consensus", tags=["consensus"])

REFUSING: Final = (*WRITING, "SCHEMA_VALIDATION_ERROR", "CONFLICT")
MODEL_CODES: Final = tuple(code for code in CODES if code.startswith("LLM_"))
ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    202: {"model": SubmittedJob, "description": "It takes longer: look at its `Location`."},
    **responses(*REFUSING, "NOT_COMPLETED", *MODEL_CODES, malformed=True),
}
WORDS: Final = {"aggregate_decision": "aggregate"}
"""What callers know a step as, where that is another word."""


@router.post(
    "/reviews",
    status_code=202,
    operation_id="review_idea",
    response_model=SubmittedJob,
    responses=responses(*REFUSING, malformed=True),
    openapi_extra=keyed(),
)
async def review_idea(request: Request, identity: Writer, body: ReviewsBody) -> Response:
    """Have an idea expanded, reviewed by five personas, and decided; when this answers, it will be.

    With an `Idempotency-Key` the same request can be sent again: the answer is the first one.
    """
    job, stored = await _store(
        request,
        identity,
        "consensus",
        body,
        priority=body.priority,
        metadata=body.metadata,
        correlation_id=body.correlation_id,
    )
    return answer_stored(job, stored, {})


@router.post(
    "/expand",
    operation_id="expand_idea",
    response_model=ExpandedIdea,
    responses=ANSWERS,
    openapi_extra=keyed(),
)
async def expand_idea(request: Request, identity: Writer, body: IdeaBody) -> Response:
    """Think an idea out. Answers 202 with a `Location` where that takes too long."""
    return await _answer(request, identity, "consensus-expand", body)


@router.post(
    "/review",
    operation_id="review_idea_quickly",
    response_model=QuickReview,
    responses=ANSWERS,
    openapi_extra=keyed(),
)
async def review_idea_quickly(request: Request, identity: Writer, body: IdeaBody) -> Response:
    """Think an idea out and have it reviewed once. Answers 202 where that takes too long."""
    return await _answer(request, identity, "consensus-quick", body)


async def _store(
    request: Request, identity: Identity, pipeline: str, body: IdeaBody, **options: Any
) -> tuple[NewJob, Stored]:
    wanted = NewJobBody(pipeline=pipeline, payload=body.payload(), **options)
    # The same key on another path is another request.
    sent = [request.scope["path"], request.scope.get(JSON_VALUE)]
    return await store_job(request, identity, wanted, sent)


async def _answer(request: Request, identity: Identity, pipeline: str, body: IdeaBody) -> Response:
    job, stored = await _store(request, identity, pipeline, body, priority="high")
    service = service_of(request)
    try:
        result = await service.app.job(str(stored.id)).result(service.settings.sync_wait_s)
    except TimeoutError:
        return answer_stored(job, stored, {})
    except (JobFailedError, JobCancelledError):
        raise await _failed(request, identity, stored) from None
    shown = result.model_dump(mode="json", exclude={"schema_version"})
    replay = {"Idempotent-Replay": "true"} if stored.is_replay else {}
    headers = {"Location": f"/v1/jobs/{stored.id}", **replay}
    return json_response({"job_id": stored.id, **shown}, 200, headers)


async def _failed(request: Request, identity: Identity, stored: Stored) -> ProblemError:
    """Which step failed, why, and what the steps before it made."""
    pipelines = service_of(request).app.pipelines
    async with reading(request, identity) as connection:
        status = await read_status(connection, stored.id, pipelines.get)
        if status is None:
            raise not_found()
        done = [step.name for step in status.steps if step.state == "completed"]
        rows = await connection.fetch(SQL["reads.read_outputs"], stored.id, status.run, done)
    error = shown_error(status.error)
    code = "NOT_COMPLETED"
    if status.error is not None and status.error.code in MODEL_CODES:
        code = status.error.code
    step = None if status.error is None else status.error.step
    facts = {
        "job_id": stored.id,
        "state": status.state,
        "error": error,
        "failed_step": WORDS.get(step or "", step),
        "partial_results": {row["step"]: loaded(row["output"]) for row in rows if row["output"]},
    }
    headers = {"Location": f"/v1/jobs/{stored.id}"}
    return ProblemError(code, headers=headers, facts=facts)
