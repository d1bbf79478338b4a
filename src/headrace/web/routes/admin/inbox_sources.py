"""/v1/admin/inbox-sources: other systems that submit jobs by message."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import Path, Request
from fastapi.responses import Response

from headrace.errors import OptionError
from headrace.inbox.sources import SigningOffError
from headrace.store.sources import SourceExistsError, SourceNotFoundError
from headrace.web.answers import json_response
from headrace.web.auth.depends import Operator
from headrace.web.problems import ProblemError, not_found, responses
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
from headrace.web.views.inbox import (
    NewSourceView,
    RotateBody,
    SourceBody,
    SourceView,
    source_view,
)

router = admin_router("inbox-sources", takes_keys=False)  # answers hold secrets

SourceName = Annotated[Name, Path(description="As its messages give it.")]


@listing(router, "admin_list_inbox_sources", list[SourceView])
async def admin_list_inbox_sources(request: Request, identity: Operator, reason: Why) -> Response:
    """Systems that may submit by message, by name; those that are disabled too."""
    await note(request, identity, "source.list", "all tenants", reason)
    found = await service_of(request).app.sources.all()
    return json_response([source_view(source) for source in found])


@action(router, "", "admin_create_inbox_source", NewSourceView, status=201)
async def admin_create_inbox_source(
    request: Request, identity: Operator, body: SourceBody
) -> Response:
    """Register a system; its secret is shown this once."""
    await note(request, identity, "source.wanted", body.source, body.reason)
    try:
        secret, made = await service_of(request).app.sources.create(
            body.source,
            tenant=body.tenant,
            owner=body.owner,
            pipelines=body.pipelines,
            by=identity.subject,
            names_owners=body.names_owners,
        )
    except (SigningOffError, SourceExistsError) as error:
        raise ProblemError("CONFLICT", str(error)) from None
    return json_response({**source_view(made), "secret": secret}, 201)


@action(router, "/{source}/rotate", "admin_rotate_inbox_source", NewSourceView)
async def admin_rotate_inbox_source(
    request: Request, identity: Operator, source: SourceName, body: RotateBody
) -> Response:
    """Make another secret; it is shown this once."""
    try:
        secret, changed = await service_of(request).app.sources.rotate(
            source,
            by=identity.subject,
            overlap=timedelta(seconds=body.overlap_s),
            reason=body.reason,
        )
    except SourceNotFoundError:
        raise not_found("source") from None
    except SigningOffError as error:
        raise ProblemError("CONFLICT", str(error)) from None
    return json_response({**source_view(changed), "secret": secret})


@router.delete(
    "/{source}",
    operation_id="admin_disable_inbox_source",
    response_model=SourceView,
    responses=responses(*OF_LISTS, "NOT_FOUND", malformed=True),
)
async def admin_disable_inbox_source(
    request: Request, identity: Operator, source: SourceName, reason: Why
) -> Response:
    """Take nothing more from a system: its messages go to quarantine."""
    try:
        changed = await service_of(request).app.sources.disable(
            source, reason=reason, by=identity.subject
        )
    except SourceNotFoundError:
        raise not_found("source") from None
    except OptionError as error:
        raise ProblemError("VALIDATION_ERROR", str(error), status=400) from None
    return json_response(source_view(changed))
