"""/v1/admin/quotas and /v1/admin/budgets: numbers of rate limits and budgets, for everybody."""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal

from fastapi import APIRouter, Request
from fastapi.responses import Response

from headrace.store.budgets import Amount, clear_budget, list_budgets, set_budget
from headrace.store.rate_limits import BucketKey, clear_limit, list_limits, set_limit
from headrace.web.answers import json_response
from headrace.web.auth.depends import Operator
from headrace.web.routes.admin.recording import Why, acting, action, admin_router, listing, note
from headrace.web.state import service_of
from headrace.web.views.quotas import (
    BudgetBody,
    BudgetSet,
    BudgetView,
    ClearBody,
    Cleared,
    QuotaBody,
    QuotaSet,
    QuotaView,
    budget_view,
    quota_view,
)

quotas = admin_router("quotas")
budgets = admin_router("budgets")
router = APIRouter()


@listing(quotas, "admin_list_quotas", list[QuotaView])
async def admin_list_quotas(request: Request, identity: Operator, reason: Why) -> Response:
    """Every rate limit that was used in the last week or set, with what is left in its bucket."""
    await note(request, identity, "limit.list", "all", reason)
    async with service_of(request).app.connection() as connection:
        found = await list_limits(connection)
    return json_response([quota_view(limit) for limit in found])


@action(quotas, "", "admin_set_quota", QuotaSet)
async def admin_set_quota(request: Request, identity: Operator, body: QuotaBody) -> Response:
    """Set numbers of a rate limit in place of the code's, from the next call on.

    What is left out is the code's, also where it was set before.
    """
    given = body.model_dump(exclude={"reason"})
    numbers = {name: given[name] for name in given if name not in {"name", "tenant"}}
    async with acting(request, identity, "limit.set", body.name, body.reason) as act:
        key = BucketKey(body.name, body.tenant)
        await set_limit(act.connection, key, **numbers, by=identity.subject, reason=body.reason)
        act.after = given
    return json_response(given)


@action(quotas, "/clear", "admin_clear_quota", Cleared)
async def admin_clear_quota(request: Request, identity: Operator, body: ClearBody) -> Response:
    """Leave all numbers of a rate limit to the code again."""
    async with acting(request, identity, "limit.clear", body.name, body.reason) as act:
        cleared = await clear_limit(act.connection, BucketKey(body.name, body.tenant))
        act.after = {"tenant": body.tenant, "was_set": cleared}
    return json_response({"name": body.name, "tenant": body.tenant, "was_set": cleared})


@listing(budgets, "admin_list_budgets", list[BudgetView])
async def admin_list_budgets(request: Request, identity: Operator, reason: Why) -> Response:
    """What is spent of budgets today, and by the jobs of the last 30 days that have one."""
    await note(request, identity, "budget.list", "all", reason)
    async with service_of(request).app.connection() as connection:
        found = await list_budgets(connection)
    return json_response([budget_view(budget) for budget in found])


@action(budgets, "", "admin_set_budget", BudgetSet)
async def admin_set_budget(request: Request, identity: Operator, body: BudgetBody) -> Response:
    """Set amounts of a budget in place of the code's, from the next call on."""
    most = Amount(
        None if body.tokens is None else Decimal(body.tokens),
        None if body.money is None else Decimal(body.money),
    )
    async with acting(request, identity, "budget.set", body.name, body.reason) as act:
        await set_budget(
            act.connection, body.name, body.tenant, most, by=identity.subject, reason=body.reason
        )
        act.after = {**asdict(most), "tenant": body.tenant}
    return json_response(body.model_dump(mode="json", exclude={"reason"}))


@action(budgets, "/clear", "admin_clear_budget", Cleared)
async def admin_clear_budget(request: Request, identity: Operator, body: ClearBody) -> Response:
    """Leave the amounts of a budget to the code again."""
    async with acting(request, identity, "budget.clear", body.name, body.reason) as act:
        cleared = await clear_budget(act.connection, body.name, body.tenant)
        act.after = {"tenant": body.tenant, "was_set": cleared}
    return json_response({"name": body.name, "tenant": body.tenant, "was_set": cleared})


router.include_router(quotas)
router.include_router(budgets)
