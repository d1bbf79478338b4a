"""/v1/admin/locks: locks that are held are listed, and taken from their holders."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request
from fastapi.responses import Response

from headrace.errors import LockNotFoundError
from headrace.reliability.locks import tell_forced
from headrace.store.locks import force_release, list_locks
from headrace.web.answers import json_response
from headrace.web.auth.depends import Operator
from headrace.web.routes.admin.recording import (
    Why,
    acting,
    action,
    admin_router,
    listing,
    note,
)
from headrace.web.routes.listing import Name
from headrace.web.state import service_of
from headrace.web.views.locks import LockView, ReleaseBody, lock_view

router = admin_router("locks")


@listing(router, "admin_list_locks", list[LockView])
async def admin_list_locks(
    request: Request,
    identity: Operator,
    reason: Why,
    *,
    tenant: Annotated[Name | None, Query(description="Of this tenant.")] = None,
    limit: Annotated[int, Query(ge=1, le=1_000, description="Most locks.")] = 100,
) -> Response:
    """Locks that are held, by tenant and key."""
    await note(request, identity, "lock.list", tenant or "all tenants", reason)
    async with service_of(request).app.connection() as connection:
        found = await list_locks(connection, tenant=tenant, limit=limit)
    return json_response([lock_view(lock) for lock in found])


@action(router, "/release", "admin_release_lock", LockView)
async def admin_release_lock(request: Request, identity: Operator, body: ReleaseBody) -> Response:
    """Take a lock from its holder; it hears of that when it renews, after a third of its lease."""
    target = f"{body.tenant}/{body.key}"
    async with acting(request, identity, "lock.release", target, body.reason) as act:
        held = await force_release(
            act.connection, body.tenant, body.key, actor=identity.subject, reason=body.reason
        )
        if held is None:
            raise LockNotFoundError(body.key)
        act.after = {"token": held.token, "was_held_by": held.who}
    tell_forced(held, actor=identity.subject, reason=body.reason)
    return json_response(lock_view(held))
