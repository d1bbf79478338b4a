"""GET /v1/queues: what waits and runs of the caller's."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from headrace.store.reads import list_queues, list_queues_of
from headrace.web.answers import json_response
from headrace.web.auth.depends import Reader
from headrace.web.auth.identity import Scope
from headrace.web.problems import READING, responses
from headrace.web.state import service_of
from headrace.web.views.operations import QueueView, queue_view

router = APIRouter(prefix="/v1/queues", tags=["queues"])


@router.get(
    "", operation_id="list_queues", response_model=list[QueueView], responses=responses(*READING)
)
async def list_own_queues(request: Request, identity: Reader) -> Response:
    """Every queue, with what waits and runs in it of the caller's jobs.

    With `tenant:admin` the jobs of the whole tenant are counted, with `operator` those of all:
    how much others have to do is their own business.
    """
    async with service_of(request).app.connection() as connection:
        if Scope.OPERATOR in identity.scopes:
            queues = await list_queues(connection)
        else:
            queues = await list_queues_of(connection, identity.tenant, identity.sees_owner())
    return json_response([queue_view(queue) for queue in queues])
