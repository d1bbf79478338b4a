"""/v1/admin/audit: what administrators did and looked at."""

from __future__ import annotations

import dataclasses
from typing import Annotated

from fastapi import Query, Request
from fastapi.responses import Response

from headrace.store.audit import list_actions
from headrace.web.answers import json_response
from headrace.web.auth.depends import Operator
from headrace.web.routes.admin.recording import Why, admin_router, listing, note
from headrace.web.state import service_of
from headrace.web.views.admin import AuditView

router = admin_router("audit")


@listing(router, "admin_list_audit", list[AuditView])
async def admin_list_audit(
    request: Request,
    identity: Operator,
    reason: Why,
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="Only older ones.")] = None,
    limit: Annotated[int, Query(ge=1, le=1_000, description="Most entries.")] = 100,
) -> Response:
    """What was done, the latest first; this look is the first of them."""
    await note(request, identity, "audit.list", "all", reason)
    async with service_of(request).app.connection() as connection:
        entries = await list_actions(connection, before=before, limit=limit)
    return json_response([dataclasses.asdict(entry) for entry in entries])
