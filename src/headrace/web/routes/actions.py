"""What owners do to their jobs: cancel, retry, replay, delete."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import APIRouter, Body, Request
from fastapi.responses import Response

from headrace.errors import TransitionError
from headrace.model.job import JobState
from headrace.store.audit import Action, record_action
from headrace.store.erasure import erase_job
from headrace.web.answers import json_response
from headrace.web.auth.depends import Writer, operates
from headrace.web.auth.identity import Identity
from headrace.web.idempotency import KeyedRoute, keyed
from headrace.web.owned import OwnedJob
from headrace.web.problems import REQUEST_ID, WRITING, responses
from headrace.web.state import service_of
from headrace.web.views.actions import (
    CancelBody,
    Cancelled,
    Deleted,
    Reopened,
    ReplayBody,
    RetryBody,
)

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=KeyedRoute)

OF_ONE = (*WRITING, "NOT_FOUND", "CONFLICT")
OF_UNDONE = (*OF_ONE, "UNDO_UNDER_WAY", "UNDO_FAILED")


F = TypeVar("F", bound=Callable[..., Any])


def _again(word: str) -> Callable[[F], F]:
    """Makes a function the route that opens the next run of a job."""
    return router.post(
        f"/{{job_id}}/{word}",
        status_code=202,
        operation_id=f"{word}_job",
        response_model=Reopened,
        responses=responses(*OF_UNDONE, malformed=True),
        openapi_extra=keyed(),
    )


@router.post(
    "/{job_id}/cancel",
    operation_id="cancel_job",
    response_model=Cancelled,
    responses={
        202: {"model": Cancelled, "description": "It runs; its worker ends it within seconds."},
        **responses(*OF_ONE, malformed=True),
    },
    openapi_extra=keyed(),
)
async def cancel_job(
    request: Request,
    identity: Writer,
    job_id: OwnedJob,
    body: Annotated[CancelBody | None, Body()] = None,
) -> Response:
    """Cancel a job: a queued one at once, a running one within seconds. Outputs are kept."""
    reason = None if body is None else body.reason
    app = service_of(request).app
    state = await app.cancel(job_id, reason=reason, actor=identity.subject)
    return _cancelled(job_id, state)


@_again("retry")
async def retry_job(
    request: Request, identity: Writer, job_id: OwnedJob, body: RetryBody
) -> Response:
    """Open the next run of a failed or cancelled job; stored outputs are taken over."""
    options = body.model_dump()
    run = await service_of(request).app.retry(job_id, actor=identity.subject, **options)
    return _reopened(job_id, run)


@_again("replay")
async def replay_job(
    request: Request, identity: Writer, job_id: OwnedJob, body: ReplayBody
) -> Response:
    """Open the next run of a completed job, from a step on, or with `force` from the beginning.

    Operators may give outputs in place of what steps made; that is marked in the audit.
    """
    if body.override_outputs:
        await operates(request)
    options = body.model_dump()
    run = await service_of(request).app.replay(job_id, actor=identity.subject, **options)
    if body.override_outputs:
        await _mark(request, identity, job_id, body, run)
    return _reopened(job_id, run)


async def _mark(
    request: Request, identity: Identity, job: UUID, body: ReplayBody, run: int
) -> None:
    """Record it; the history of the job says it too, in the transaction that opens the run."""
    done = Action(
        identity.subject,
        "job.override",
        str(job),
        body.reason,
        request.scope.get(REQUEST_ID),
        after={"run": run, "override_outputs": sorted(body.override_outputs or ())},
    )
    async with service_of(request).app.connection() as connection:
        await record_action(connection, done)


@router.delete(
    "/{job_id}",
    status_code=202,
    operation_id="delete_job",
    response_model=Deleted,
    responses=responses(*OF_ONE, "UNDO_UNDER_WAY", malformed=True),
)
async def delete_job(request: Request, identity: Writer, job_id: OwnedJob) -> Response:
    """Cancel a job that has not ended; of one that has, erase what it was given and what it made.

    What stays of an erased job is that it was: its state, its times, its transitions. The document
    that it ingested goes with it.
    """
    service = service_of(request)
    app = service.app
    state = (await app.status(job_id)).state
    if not state.is_final:
        with contextlib.suppress(TransitionError):  # it has just ended
            state = await app.cancel(job_id, reason="deleted", actor=identity.subject)
            return _deleted(job_id, state, is_erased=False)
    if service.documents is not None:
        await service.documents.library.delete_made_by(str(job_id))
    async with app.connection() as connection:
        state, paths = await erase_job(connection, job_id)
    await app.artifacts.delete(paths)
    return _deleted(job_id, state, is_erased=True)


def _cancelled(job: UUID, state: JobState) -> Response:
    status = 202 if state is JobState.RUNNING else 200
    return json_response({"job_id": job, "state": state}, status)


def _reopened(job: UUID, run: int) -> Response:
    headers = {"Location": f"/v1/jobs/{job}"}
    return json_response({"job_id": job, "run": run, "state": "queued"}, 202, headers)


def _deleted(job: UUID, state: JobState, *, is_erased: bool) -> Response:
    return json_response({"job_id": job, "state": state, "is_erased": is_erased}, 202)
