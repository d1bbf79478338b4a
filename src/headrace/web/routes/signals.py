"""/v1/jobs/{job_id}/signals: what a job waits for from outside, and values that are sent to it."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from headrace.errors import CodecError, InputError
from headrace.model.fate import Fate
from headrace.store.links import read_run
from headrace.store.signalling import read_signals, read_waits
from headrace.web.answers import json_response
from headrace.web.auth.depends import Reader, Writer
from headrace.web.gate.body import JSON_VALUE
from headrace.web.idempotency import KEY_PARAMETER, KeyedRoute
from headrace.web.owned import OwnedJob
from headrace.web.problems import READING, WRITING, ProblemError, not_found, responses
from headrace.web.sending import misfit, send_text, signal_of
from headrace.web.state import service_of
from headrace.web.views.signals import SentSignal, SignalView, signal_views
from headrace.web.wall import reading

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=KeyedRoute)

REFUSED: Final = ("SIGNAL_TAKEN", "SIGNAL_EXPIRED", "JOB_FINISHED")


@router.get(
    "/{job_id}/signals",
    operation_id="list_signals",
    response_model=list[SignalView],
    responses=responses(*READING, "NOT_FOUND", malformed=True),
)
async def list_signals(request: Request, identity: Reader, job_id: OwnedJob) -> Response:
    """What can be sent to a job, what its steps wait for, and what was sent to its present run."""
    async with reading(request, identity) as connection:
        found = await read_run(connection, job_id)
        if found is None:
            raise not_found()
        run, name = found
        received = await read_signals(connection, job_id, run)
        waits = await read_waits(connection, job_id, run)
    pipeline = service_of(request).app.pipelines.get(name)
    known = {} if pipeline is None else pipeline.signals
    return json_response(signal_views(known, received, waits))


@router.post(
    "/{job_id}/signals/{signal}",
    status_code=202,
    operation_id="send_signal",
    response_model=SentSignal,
    responses={
        200: {"model": SentSignal, "description": "The same value stood already."},
        **responses(
            *WRITING, "SCHEMA_VALIDATION_ERROR", "NOT_FOUND", "CONFLICT", *REFUSED, malformed=True
        ),
    },
    openapi_extra={
        "parameters": [KEY_PARAMETER],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"description": "A value of the signal's type."}}
            },
        },
    },
)
async def send_signal(
    request: Request,
    identity: Writer,
    job_id: OwnedJob,
    signal: Annotated[str, Path(max_length=200, description="The name of a signal of its steps.")],
) -> Response:
    """Send a value to a job, whose step waits for it or will do so.

    The first value stands. Who did not hear the answer sends it again: the same value is answered
    200, another one 409.
    """
    if JSON_VALUE not in request.scope:
        raise ProblemError("VALIDATION_ERROR", "a body is needed", status=400)
    app = service_of(request).app
    async with reading(request, identity) as connection:
        found = await read_run(connection, job_id)
    if found is None:
        raise not_found()
    awaited = signal_of(app.pipeline(found[1]), signal)
    text = (await request.body()).decode()
    try:
        fate = await send_text(app, job_id, awaited, text, actor=identity.subject)
    except (CodecError, InputError) as error:
        raise misfit(signal, error) from None
    status = 202 if fate is Fate.STORED else 200
    return json_response({"job_id": job_id, "signal": signal}, status)
