"""POST /v1/webhooks/{provider}: the parser of documents calls back.

It has no credential: what it sends is signed with the key of the one job that it answers.
"""

from __future__ import annotations

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from headrace.telemetry.events import emit
from headrace.telemetry.request_events import ParserCalledBack
from headrace.web.library import library_of, told
from headrace.web.problems import responses
from headrace.web.views.documents import ParserNews

router = APIRouter(prefix="/v1/webhooks", tags=["documents"])

OF_CALLBACK: Final = (
    "AUTH_REQUIRED",
    "NOT_FOUND",
    "PAYLOAD_TOO_LARGE",
    "UNSUPPORTED_MEDIA_TYPE",
    "VALIDATION_ERROR",
    "DATABASE_ERROR",
    "UNAVAILABLE",
)
NEWS: Final[dict[str, Any]] = {
    "required": True,
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ParserNews"}}},
}


@router.post(
    "/{provider}",
    status_code=204,
    operation_id="call_back",
    response_class=Response,
    responses=responses(*OF_CALLBACK, malformed=True),
    openapi_extra={"requestBody": NEWS},
)
async def call_back(
    request: Request,
    provider: Annotated[
        str, Path(max_length=40, description="`generic`, `stamped`, `llamaparse`.")
    ],
    job: Annotated[UUID, Query(description="As the callback's address has it.")],
    run: Annotated[int, Query(ge=1, le=2**31 - 1, description="As the callback's address has it.")],
) -> Response:
    """Take what the parser says of a document; the same callback again is taken, too.

    The body shown is that of `generic` and `stamped`; `llamaparse` sends its own events.
    """
    body = await request.body()
    with told():
        taken = await library_of(request).take_callback(
            provider, job, run, headers=request.headers, body=body
        )
    news = taken.news
    emit(
        ParserCalledBack(
            provider=provider,
            job_id=job,
            state=news.state,
            outcome=taken.outcome.value,
            done=news.done,
            total=news.total,
        )
    )
    return Response(status_code=204)


SCHEMAS: Final = (ParserNews,)
"""Of bodies that the route reads itself."""
