"""/v1/admin/tenants: how many jobs of a tenant may run at once."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import Request
from fastapi.responses import Response

from headrace.store.gates import limit_tenant, list_tenants
from headrace.telemetry.events import emit
from headrace.telemetry.gate_events import TenantLimited
from headrace.web.answers import json_response
from headrace.web.auth.depends import Operator
from headrace.web.routes.admin.recording import Why, action, admin_router, listing, note
from headrace.web.state import service_of
from headrace.web.views.admin import TenantLimitBody, TenantLimitSet, TenantLimitView

router = admin_router("tenants")


@listing(router, "admin_list_tenants", list[TenantLimitView])
async def admin_list_tenants(request: Request, identity: Operator, reason: Why) -> Response:
    """The tenants that have a limit on the jobs that run at once, by name."""
    await note(request, identity, "tenant.list", "all tenants", reason)
    async with service_of(request).app.connection() as connection:
        found = await list_tenants(connection)
    return json_response([asdict(tenant) for tenant in found])


@action(router, "/limit", "admin_limit_tenant", TenantLimitSet)
async def admin_limit_tenant(
    request: Request, identity: Operator, body: TenantLimitBody
) -> Response:
    """Set how many jobs of a tenant run at once, over all workers; null for any number.

    What runs already counts, and goes on. It takes effect at once.
    """
    limit = {"concurrency": body.concurrency}
    await note(request, identity, "tenant.limit", body.tenant, body.reason, after=limit)
    # In a transaction of its own: no claim goes on before it ends.
    async with service_of(request).app.connection() as connection:
        before = await limit_tenant(
            connection, body.tenant, body.concurrency, by=identity.subject, reason=body.reason
        )
    emit(TenantLimited(tenant=body.tenant, concurrency=body.concurrency, actor=identity.subject))
    return json_response({"tenant": body.tenant, **limit, "before": before})
