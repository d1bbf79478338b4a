"""/v1/admin/quarantine: messages that were not taken."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query, Request
from fastapi.responses import Response

from headrace.errors import PipelineNotFoundError
from headrace.inbox.quarantine import RedrivenBeforeError, StillRefusedError
from headrace.store.inbox import LAST_ID, QuarantinedNotFoundError
from headrace.web.answers import json_response
from headrace.web.auth.depends import Operator
from headrace.web.problems import REQUEST_ID, ProblemError, not_found, responses
from headrace.web.routes.admin.recording import (
    OF_LISTS,
    Why,
    action,
    admin_router,
    listing,
    note,
)
from headrace.web.routes.listing import Name
from headrace.web.state import service_of
from headrace.web.views.admin import WhyBody
from headrace.web.views.inbox import QuarantinedView, TakenView, quarantined_view

router = admin_router("quarantine")

Number = Annotated[int, Path(ge=1, le=LAST_ID, description="As the list shows it.")]


@listing(router, "admin_list_quarantine", list[QuarantinedView])
async def admin_list_quarantine(
    request: Request,
    identity: Operator,
    reason: Why,
    *,
    cause: Annotated[Name | None, Query(description="Put aside for this, as `unsigned`.")] = None,
    source: Annotated[Name | None, Query(description="Of this source.")] = None,
    before: Annotated[
        int | None, Query(ge=1, le=LAST_ID, description="With smaller numbers.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1_000, description="Most messages.")] = 100,
) -> Response:
    """Messages that were put aside, the newest first; those taken since, too."""
    await note(request, identity, "quarantine.list", source or "all sources", reason)
    found = await service_of(request).app.quarantine.page(
        reason=cause, source=source, before=before, limit=limit
    )
    return json_response([quarantined_view(one) for one in found])


@action(router, "/{number}/redrive", "admin_redrive_message", TakenView)
async def admin_redrive_message(
    request: Request, identity: Operator, number: Number, body: WhyBody
) -> Response:
    """Take a message after all, as if it came now: once what was wrong is put right."""
    try:
        verdict = await service_of(request).app.quarantine.redrive(
            number,
            by=identity.subject,
            reason=body.reason,
            request_id=request.scope.get(REQUEST_ID),
        )
    except QuarantinedNotFoundError:
        raise not_found("message") from None
    except (RedrivenBeforeError, StillRefusedError, PipelineNotFoundError) as error:
        raise ProblemError("CONFLICT", str(error)) from None
    job = None if verdict.job is None else str(verdict.job)
    return json_response({"outcome": str(verdict.outcome), "job_id": job})


@router.delete(
    "/{number}",
    operation_id="admin_delete_message",
    status_code=204,
    responses=responses(*OF_LISTS, "NOT_FOUND", malformed=True),
)
async def admin_delete_message(
    request: Request, identity: Operator, number: Number, reason: Why
) -> Response:
    """Remove a message for good."""
    try:
        await service_of(request).app.quarantine.delete(
            number,
            by=identity.subject,
            reason=reason,
            request_id=request.scope.get(REQUEST_ID),
        )
    except QuarantinedNotFoundError:
        raise not_found("message") from None
    return Response(status_code=204)
