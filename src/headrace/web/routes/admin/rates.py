"""/v1/admin/rates: limits of single tenants."""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import Response

from headrace.store.audit import record_action
from headrace.store.rates import set_limit
from headrace.web.answers import json_response
from headrace.web.auth.depends import Operator
from headrace.web.idempotency import keyed
from headrace.web.problems import responses
from headrace.web.routes.admin.recording import OF_ACTIONS, acting, action_of, admin_router
from headrace.web.views.admin import RateBody, RateView

router = admin_router("rates")


@router.post(
    "",
    operation_id="admin_set_rate",
    response_model=RateView,
    responses=responses(*OF_ACTIONS),
    openapi_extra=keyed(),
)
async def admin_set_rate(request: Request, identity: Operator, body: RateBody) -> Response:
    """Give a tenant a limit of its own; it holds within a minute, and only where limits are on."""
    limit = {"tenant": body.tenant, "kind": body.kind, "per_minute": body.per_minute}
    async with acting(request) as connection:
        await set_limit(connection, body.tenant, body.kind, body.per_minute)
        done = action_of(request, identity, "rate.set", body.tenant, body.reason, after=limit)
        await record_action(connection, done)
    return json_response(limit)
