"""GET /v1/jobs/{id}/events: what happens to a job, as a stream or in pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from headrace.store.following import PLACE, Follower, Place, read_end, read_next
from headrace.web.answers import json_response
from headrace.web.auth.depends import Reader
from headrace.web.auth.identity import Identity
from headrace.web.events.hub import Watch
from headrace.web.events.stream import MEDIA_TYPE, EventStream
from headrace.web.events.telling import EventPage, Told, tell, tell_result
from headrace.web.owned import OwnedJob
from headrace.web.problems import MALFORMED, READING, ProblemError, not_found, responses
from headrace.web.state import service_of
from headrace.web.wall import reading

if TYPE_CHECKING:
    import asyncpg

    from headrace.store.pool import Connection

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

PAGE: Final = 100
PAGE_MOST: Final = 1_000
JSON: Final = "application/json"
EXAMPLE: Final = """\
retry: 2000

id: 1
event: state
data: {"seq":1,"run":1,"from_state":null,"to_state":"queued","reason":"submitted",...}

id: 2.1
event: step
data: {"run":1,"step":"parse","item":null,"attempts":1,"state":"completed",...}

: here

id: 3.1
event: signal
data: {"run":1,"name":"approval","state":"received","at":"...","by":"ann","reused_from":null}

id: 5.1
event: result
data: {"run":1,"state":"completed","result":{"chunks":12},"is_complete":true,...}
"""
ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "model": EventPage,
        "description": "The events: a stream, or a page for `Accept: application/json`. A stream "
        "has a comment every 15 s of silence; it ends with the job or after 300 s, to be resumed.",
        "content": {MEDIA_TYPE: {"example": EXAMPLE}},
    },
    204: {"description": "The job has ended, and the client knows everything: do not come back."},
    **responses(*READING, "NOT_FOUND", malformed=True),
}
LastId = Annotated[
    str | None,
    Header(alias="Last-Event-ID", pattern=PLACE, description="As `after`, and before it."),
]


class EventQuery(BaseModel):
    """Which part of the events."""

    model_config = ConfigDict(extra="forbid")

    after: str = Field("", pattern=PLACE, description="Only what came after the event of this id.")
    limit: int = Field(PAGE, ge=1, le=PAGE_MOST, description="Most events of a page.")


@router.get(
    "/{job_id}/events",
    operation_id="follow_job",
    response_class=Response,
    responses=ANSWERS,
)
async def follow_job(
    request: Request,
    identity: Reader,
    job_id: OwnedJob,
    wanted: Annotated[EventQuery, Query()],
    last_event_id: LastId = None,
) -> Response:
    """What happens to a job: `state`, `step`, `signal`, `progress`, and at the end `result`."""
    place = Place.parse(wanted.after if last_event_id is None else last_event_id)
    if _wants_page(request):
        return await _page(request, identity, job_id, place, wanted.limit)
    async with reading(request, identity) as connection:
        end = await read_end(connection, job_id)
    if end is None:
        raise not_found()
    _check(place, end.seq)
    if end.is_known(place):
        return Response(status_code=204)
    watch = Watch(job_id, identity.tenant, identity.sees_owner(), place)
    return EventStream(service_of(request), identity, watch)


async def _page(
    request: Request, identity: Identity, job: UUID, place: Place, limit: int
) -> Response:
    follower = Follower(job, identity.tenant, identity.sees_owner(), place)
    items = []
    async with reading(request, identity) as connection:
        found = await read_next(connection, [follower], most=limit)
        rows = found.get(0, [])
        for row in rows:
            place = place.after(row)
            items.append(await _told(request, connection, job, row, place))
        end = await read_end(connection, job)
    if end is None:
        raise not_found()
    _check(follower.place, end.seq)
    return json_response(
        {
            "job_id": job,
            "items": [told._asdict() for told in items if told is not None],
            "next": str(place),
            "has_more": len(rows) == limit,
            "has_ended": end.is_known(place),
        },
        headers={"Vary": "Accept"},
    )


async def _told(
    request: Request, connection: Connection, job: UUID, row: asyncpg.Record, place: Place
) -> Told | None:
    if row["kind"] != "result":
        return tell(row, place)
    return await tell_result(connection, job, row, place, service_of(request).app.pipelines)


def _check(place: Place, last: int) -> None:
    if place.seq > last:
        detail = "the job has no event of this id"
        raise ProblemError("VALIDATION_ERROR", detail, status=MALFORMED)


def _wants_page(request: Request) -> bool:
    """Whether the client takes JSON and no stream."""
    accepted = ",".join(request.headers.getlist("accept"))
    return JSON in accepted and MEDIA_TYPE not in accepted
