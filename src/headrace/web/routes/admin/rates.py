"""/v1/admin/rates: limits of single tenants."""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import Response

from headrace.store.rates import set_limit
from headrace.web.answers import json_response
from headrace.web.auth.depends import Operator
from headrace.web.routes.admin.recording import acting, action, admin_router
from headrace.web.views.admin import RateBody, RateView

router = admin_router("rates")


@action(router, "", "admin_set_rate", RateView)
async def admin_set_rate(request: Request, identity: Operator, body: RateBody) -> Response:
    """Give a tenant a limit of its own; it holds within a minute, and only where limits are on."""
    limit = {"tenant": body.tenant, "kind": body.kind, "per_minute": body.per_minute}
    async with acting(request, identity, "rate.set", body.tenant, body.reason) as act:
        await set_limit(act.connection, body.tenant, body.kind, body.per_minute)
        act.after = limit
    return json_response(limit)
