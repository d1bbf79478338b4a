"""/v1/admin/dead-letters: failed jobs of all tenants are listed and run again."""

from __future__ import annotations

from typing import Annotated, Final
from uuid import UUID

from fastapi import Path, Query, Request
from fastapi.responses import Response
from pydantic import Field

from headrace.store.reads import DeadLetterFilter, list_dead_letters
from headrace.web.answers import json_response
from headrace.web.auth.depends import Operator
from headrace.web.problems import Detail, ProblemError
from headrace.web.routes.admin.jobs import requeue
from headrace.web.routes.admin.recording import Why, action, admin_router, listing, note
from headrace.web.routes.dead_letters import DeadLetterQuery, cursor_of, filter_of, place_of
from headrace.web.routes.listing import Name
from headrace.web.state import service_of
from headrace.web.views.actions import Reopened
from headrace.web.views.admin import (
    AdminDeadLetterPage,
    RedriveBody,
    RedrivenView,
    RequeueBody,
    admin_dead_letter_view,
)

router = admin_router("dead-letters")

LONGEST_S: Final = 20.0
"""Of a redrive, within the time that a request may take."""
FILTERS: Final = frozenset(
    {"tenant", "owner", "pipeline", "queue", "cause", "code", "correlation_id", "text"}
    | {"failed_since", "failed_before"}
)
JobId = Annotated[UUID, Path(description="The id of a failed job of any tenant.")]


class AdminDeadLetterQuery(DeadLetterQuery):
    """Which dead letters of which tenant."""

    reason: Why
    tenant: Name | None = None
    owner: Name | None = None
    text: Name | None = Field(None, description="Part of the error's message, in any case.")


@listing(router, "admin_list_dead_letters", AdminDeadLetterPage)
async def admin_list_dead_letters(
    request: Request, identity: Operator, wanted: Annotated[AdminDeadLetterQuery, Query()]
) -> Response:
    """Failed runs of all tenants that nobody has started again, newest first."""
    chosen = filter_of(wanted, wanted.tenant, wanted.owner, text=wanted.text)
    before = place_of(wanted.cursor)
    await note(request, identity, "dead_letter.list", wanted.tenant or "all tenants", wanted.reason)
    async with service_of(request).app.connection() as connection:
        found = await list_dead_letters(connection, chosen, before=before, limit=wanted.limit + 1)
    page = found[: wanted.limit]
    following = cursor_of(page[-1]) if len(found) > wanted.limit else None
    items = [admin_dead_letter_view(letter) for letter in page]
    return json_response({"items": items, "limit": wanted.limit, "next": following})


@action(router, "/redrive", "admin_redrive", RedrivenView)
async def admin_redrive(request: Request, identity: Operator, body: RedriveBody) -> Response:
    """Run failed jobs again that fit a filter, at a pace; with `dry_run` they are only counted."""
    if not body.dry_run and body.limit > body.per_second * LONGEST_S:
        detail = Detail("$.per_second", f"{body.limit} jobs would take over {LONGEST_S:g} s")
        raise ProblemError("VALIDATION_ERROR", errors=[detail])
    asked = body.model_dump(mode="json", exclude_none=True)
    await note(request, identity, "dead_letter.redrive", "filter", body.reason, before=asked)
    done = await service_of(request).app.redrive(
        DeadLetterFilter(**body.model_dump(include=set(FILTERS)), jobs=body.job_ids),
        dry_run=body.dry_run,
        limit=body.limit,
        per_second=body.per_second,
        from_step=body.from_step,
        force=body.force,
        reason=body.reason,
        actor=identity.subject,
    )
    answer = {
        "matched": done.matched,
        "redriven": len(done.runs),
        "skipped": done.skipped,
        "job_ids": list(done.runs),
        "dry_run": body.dry_run,
    }
    await note(request, identity, "dead_letter.redriven", "filter", body.reason, after=answer)
    return json_response(answer)


@action(router, "/{job_id}/redrive", "admin_redrive_job", Reopened, status=202)
async def admin_redrive_job(
    request: Request, identity: Operator, job_id: JobId, body: RequeueBody
) -> Response:
    """Run one failed job of any tenant again."""
    run = await requeue(request, identity, job_id, body)
    return json_response({"job_id": job_id, "run": run, "state": "queued"}, 202)
