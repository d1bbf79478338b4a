"""POST /v1/jobs: the route that has to be fast.

It reads the value that the gate has made of the body and answers with bytes; FastAPI's own way
through body, parameters and response costs as much as everything else here. The OpenAPI document
says the same as it would have.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import UUID

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import ValidationError
from uuid_utils import uuid7

from headrace.client.options import Given
from headrace.client.payloads import encode_payload
from headrace.client.webhooks import WebhooksOffError
from headrace.errors import OptionError
from headrace.store.requests import NewJob, is_owned
from headrace.store.webhooks import JobWebhook
from headrace.telemetry.events import emit, enabled
from headrace.telemetry.job_events import Enqueued, IdempotentSkip
from headrace.web.auth.depends import Writer, requires
from headrace.web.auth.identity import Identity, Scope
from headrace.web.gate.body import JSON_VALUE
from headrace.web.gate.envelope import TRACEPARENT
from headrace.web.idempotency import KEY_PARAMETER, key_of
from headrace.web.problems import WRITING, ProblemError, invalid, responses
from headrace.web.state import Service, service_of
from headrace.web.views.submission import NewJobBody, SubmittedJob, body_schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi.routing import APIRoute

    from headrace.web.submitting import Stored
    from headrace.web.views.webhooks import JobWebhookBody

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

FIRST_LOOK: Final = timedelta(seconds=2)
"""After a submission; see R-API-45."""
_validate: Final = NewJobBody.__pydantic_validator__.validate_python


@router.post(
    "",
    status_code=202,
    operation_id="submit_job",
    response_model=SubmittedJob,
    responses=responses(
        *WRITING, "SCHEMA_VALIDATION_ERROR", "NOT_FOUND", "CONFLICT", malformed=True
    ),
    openapi_extra={
        "parameters": [KEY_PARAMETER],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": body_schema()}},
        },
    },
)
async def submit_job(request: Request, identity: Writer) -> Response:
    """Store a job: when this answers, the job will be run, whatever happens.

    With an `Idempotency-Key` the same request can be sent again: the answer is the first one.
    """
    return await _submit(request, identity)


ROUTE: Final = cast("APIRoute", router.routes[0])
"""The one route here."""


async def submit_at_once(request: Request) -> Response:
    """The same, for the short way past FastAPI."""
    return await _submit(request, await _WRITES(request))


_WRITES: Final = requires(Scope.JOBS_WRITE)
_NOTHING: Final = object()


async def _submit(request: Request, identity: Identity) -> Response:
    scope = request.scope
    value = scope.get(JSON_VALUE, _NOTHING)
    if value is _NOTHING:
        raise ProblemError("VALIDATION_ERROR", "a body is needed", status=400)
    try:
        body = _validate(value)
    except ValidationError as error:
        raise invalid(error.errors(include_url=False, include_input=False)) from None
    job, stored = await store_job(request, identity, body, value)
    secret = None if job.webhook is None else service_of(request).app.webhooks.secret(stored.id)
    more = {} if secret is None else {"webhook_secret": secret}
    return answer_stored(job, stored, more)


async def store_job(
    request: Request, identity: Identity, body: NewJobBody, sent: object
) -> tuple[NewJob, Stored]:
    """Store the job of a request, or find the one that its idempotency key has made.

    Args:
        request: Of a route that stores jobs.
        identity: Whose job it is.
        body: The job.
        sent: What the client sent: with the same key it has to be the same.
    """
    service, scope = service_of(request), request.scope
    job = await _new_job(service, identity, body)
    if body.webhook is not None:
        job.webhook = await _checked(service, body.webhook)
    job.traceparent = scope.get(TRACEPARENT)
    job.key = key_of(scope)
    if job.key is not None:
        job.hash = hashlib.sha256(orjson.dumps(sent, option=orjson.OPT_SORT_KEYS)).digest()
    stored = await service.submissions.store(job)
    _announce(service, job, stored)
    return job, stored


async def _new_job(service: Service, identity: Identity, body: NewJobBody) -> NewJob:
    app = service.app
    pipeline = app.pipeline(body.pipeline)
    if body.parent_job_id is not None:
        await _check_parent(service, identity, body.parent_job_id)
    given = Given(
        priority=body.priority,
        due=body.due_at,
        deadline=body.deadline,
        tenant=identity.tenant,
        owner=identity.owner,
        preset=body.preset,
        parameters=body.parameters,
        metadata=body.metadata,
        correlation_id=body.correlation_id,
        parent=body.parent_job_id,
        ordering_key=body.ordering_key,
        concurrency_key=body.concurrency_key,
        actor=identity.subject,
    )
    if pipeline.costly and service.rates is not None:
        await service.rates.spend(identity.tenant, "costly")
    text = encode_payload(pipeline, body.payload, service.settings.max_payload_bytes)
    shared = await app.submitter.check(pipeline, given)
    return NewJob(uuid7(), pipeline.name, text, shared)


async def _checked(service: Service, wanted: JobWebhookBody) -> JobWebhook:
    webhooks = service.app.webhooks
    try:
        await webhooks.check(wanted.url)
    except OptionError as error:
        raise OptionError(f"webhook.{error.option}", error.problem) from None
    except WebhooksOffError as error:
        raise ProblemError("CONFLICT", str(error)) from None
    await webhooks.open()
    return JobWebhook(wanted.url, wanted.events)


async def _check_parent(service: Service, identity: Identity, parent: UUID) -> None:
    async with service.app.connection() as connection:
        if not await is_owned(connection, parent, identity.tenant, identity.sees_owner()):
            raise ProblemError("NOT_FOUND", "there is no such parent job")


def answer_stored(job: NewJob, stored: Stored, more: Mapping[str, object]) -> Response:
    """202: the job is stored. `more` are further members of a `SubmittedJob`."""
    created, shared = stored.created_at, job.shared
    answer: dict[str, Any] = {
        "job_id": stored.id,
        "run": 1,
        "state": "queued",
        "pipeline": job.pipeline,
        "priority": shared.priority,
        "created_at": created,
        "queued_at": created,
        "due_at": shared.due_at or created,
        "check_status_at": max(shared.due_at or created, created) + FIRST_LOOK,
        **more,
    }
    headers = {"Location": f"/v1/jobs/{stored.id}"}
    if stored.is_replay:
        headers["Idempotent-Replay"] = "true"
    return Response(orjson.dumps(answer, option=orjson.OPT_UTC_Z), 202, headers, "application/json")


def _announce(service: Service, job: NewJob, stored: Stored) -> None:
    pipeline = service.app.pipelines[job.pipeline]
    if stored.is_replay:
        if enabled(IdempotentSkip):
            emit(
                IdempotentSkip(
                    job_id=stored.id,
                    run=1,
                    pipeline=pipeline.name,
                    tenant=job.shared.tenant,
                    reason="idempotency_key",
                )
            )
    elif enabled(Enqueued):
        emit(
            Enqueued(
                job_id=stored.id,
                run=1,
                pipeline=pipeline.name,
                version=pipeline.version,
                queue=job.shared.queue,
                tenant=job.shared.tenant,
                correlation_id=job.shared.correlation_id,
                source="api",
                priority=job.shared.priority,
                due_at=job.shared.due_at,
                message_size_bytes=len(job.text),
            )
        )
