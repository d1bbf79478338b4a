"""/v1/admin/retention: what would be deleted is counted, and deleted before its turn."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from fastapi import Request
from fastapi.responses import Response

from headrace.store.retention import RetentionPass, RetentionRules, count_expired
from headrace.web.answers import json_response
from headrace.web.auth.depends import Operator
from headrace.web.routes.admin.recording import Why, action, admin_router, listing, note
from headrace.web.state import service_of
from headrace.web.views.admin import ExpiredView, PrunedView, WhyBody

if TYPE_CHECKING:
    from headrace.settings import Settings

router = admin_router("retention")

RUN_S: Final = 20.0


@listing(router, "admin_count_expired", ExpiredView)
async def admin_count_expired(request: Request, identity: Operator, reason: Why) -> Response:
    """Count what retention would delete now, by the settings; nothing is deleted."""
    service = service_of(request)
    await note(request, identity, "retention.count", "all tenants", reason)
    async with service.app.connection() as connection:
        expired = await count_expired(connection, _rules(service.settings))
    return json_response({"jobs": expired.jobs, "checkpoints": expired.checkpoints})


@action(router, "/run", "admin_run_retention", PrunedView)
async def admin_run_retention(request: Request, identity: Operator, body: WhyBody) -> Response:
    """Delete what is old enough by the settings, page by page, for at most 20 s.

    Workers do the same all the time; files of deleted outputs are left to them.
    """
    service = service_of(request)
    await note(request, identity, "retention.run", "all tenants", body.reason)
    work, is_complete = RetentionPass(_rules(service.settings)), False
    until = asyncio.get_running_loop().time() + RUN_S
    while not is_complete and asyncio.get_running_loop().time() < until:
        async with service.app.connection() as connection:
            is_complete = not await work.advance(connection)
    done = {"jobs": work.jobs, "checkpoints": work.checkpoints, "complete": is_complete}
    await note(request, identity, "retention.ran", "all tenants", body.reason, after=done)
    return json_response(done)


def _rules(settings: Settings) -> RetentionRules:
    return RetentionRules(
        jobs=timedelta(days=settings.retain_jobs_d),
        checkpoints=timedelta(days=settings.retain_checkpoints_d),
    )
