"""GET /v1/dead-letters: the caller's jobs that failed, until they are started again."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from headrace.model.job import FailureCause
from headrace.store.reads import DeadLetter, DeadLetterFilter, list_dead_letters
from headrace.web.answers import json_response
from headrace.web.auth.depends import Reader
from headrace.web.problems import MALFORMED, READING, Detail, ProblemError, responses
from headrace.web.routes.listing import Name
from headrace.web.views.operations import DeadLetterPage, dead_letter_view
from headrace.web.views.times import Time, in_utc
from headrace.web.wall import reading

router = APIRouter(prefix="/v1/dead-letters", tags=["dead letters"])

MOST: Final = 100


class DeadLetterQuery(BaseModel):
    """Which dead letters, and which part of the list."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(30, ge=1, le=MOST, description="Most dead letters of a page.")
    cursor: str | None = Field(None, max_length=100, description="`next` of the page before.")
    pipeline: Name | None = None
    queue: Name | None = None
    cause: FailureCause | None = None
    code: Name | None = Field(None, description="The code of the error.")
    correlation_id: Name | None = None
    start_date: Time | None = Field(None, description="Failed then or later.")
    end_date: Time | None = Field(None, description="Failed before.")


@router.get(
    "",
    operation_id="list_dead_letters",
    response_model=DeadLetterPage,
    responses=responses(*READING, malformed=True),
)
async def list_own_dead_letters(
    request: Request, identity: Reader, wanted: Annotated[DeadLetterQuery, Query()]
) -> Response:
    """The caller's failed runs that nobody has started again, newest first.

    A retry of its job takes one off the list. With `tenant:admin` those of the whole tenant.
    """
    chosen = filter_of(wanted, identity.tenant, identity.sees_owner())
    before = place_of(wanted.cursor)
    async with reading(request, identity) as connection:
        found = await list_dead_letters(connection, chosen, before=before, limit=wanted.limit + 1)
    page = found[: wanted.limit]
    return json_response(
        {
            "items": [dead_letter_view(letter) for letter in page],
            "limit": wanted.limit,
            "next": cursor_of(page[-1]) if len(found) > wanted.limit else None,
        }
    )


def filter_of(
    wanted: DeadLetterQuery, tenant: str | None, owner: str | None, *, text: str | None = None
) -> DeadLetterFilter:
    """The filter that a query means, within a tenant and an owner where they are given.

    Args:
        wanted: The query.
        tenant: Whose.
        owner: Whose within the tenant.
        text: Part of the message: for operators, as owners do not see every message.
    """
    return DeadLetterFilter(
        tenant=tenant,
        owner=owner,
        pipeline=wanted.pipeline,
        queue=wanted.queue,
        cause=wanted.cause,
        code=wanted.code,
        correlation_id=wanted.correlation_id,
        failed_since=wanted.start_date,
        failed_before=wanted.end_date,
        text=text,
    )


def cursor_of(last: DeadLetter) -> str:
    """The cursor of the page after this dead letter."""
    return f"{last.failed_at.isoformat()}_{last.job}"


def place_of(cursor: str | None) -> tuple[datetime, UUID] | None:
    """Where a page goes on.

    Raises:
        ProblemError: `VALIDATION_ERROR`: it is no cursor of this list.
    """
    if cursor is None:
        return None
    at, _, job = cursor.rpartition("_")
    try:
        time = datetime.fromisoformat(at)
        place = (in_utc(time), UUID(job)) if time.tzinfo else None
    except ValueError:
        place = None
    if place is None:
        wrong = Detail("query.cursor", "it is no `next` of this list")
        raise ProblemError("VALIDATION_ERROR", status=MALFORMED, errors=[wrong])
    return place
