"""/signals/{token}: a person answers a signal behind a signed link, without an account.

What a link allows stands in it, signed. Looking at it changes nothing, for scanners of mail open
every link; only a POST answers, and the first answer stands. A program that says that it takes
JSON gets and sends JSON at the same addresses.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import parse_qs

from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse, Response

from headrace.errors import CodecError, InputError
from headrace.model.job import JobState
from headrace.model.link import Link, read_token
from headrace.store.links import LinkPlace, read_link_place
from headrace.web.answers import json_response
from headrace.web.forms.answering import places_of, read_answer
from headrace.web.forms.field import Field
from headrace.web.forms.making import make_form, pretty
from headrace.web.forms.reading import posted_of
from headrace.web.forms.showing import show
from headrace.web.gate.body import JSON_VALUE
from headrace.web.gate.pages import wants_page
from headrace.web.gate.paths import LINKS
from headrace.web.pages import THANKS, form_page, message_page, moment_text
from headrace.web.problems import ProblemError, not_found, responses
from headrace.web.sending import misfit, send_text, signal_of
from headrace.web.state import CONNECTION_WAIT_S, service_of

if TYPE_CHECKING:
    from headrace.model.awaited import AwaitedSignal

router = APIRouter(prefix=LINKS.rstrip("/"), tags=["links"], default_response_class=HTMLResponse)

Token = Annotated[str, Path(description="As the link has it.")]
MOST_CONTROLS: Final = 1_000
GONE: Final = ("NOT_FOUND", "LINK_EXPIRED", "SIGNAL_TAKEN", "SIGNAL_EXPIRED", "JOB_FINISHED")
OF_ALL: Final = (*GONE, "DATABASE_ERROR", "UNAVAILABLE")


def _told(*codes: str, malformed: bool = False) -> dict[int | str, dict[str, Any]]:
    """As `responses`; people are told the same as a page."""
    told = responses(*codes, malformed=malformed)
    for one in told.values():
        one["content"] = {**one["content"], "text/html": {"schema": {"type": "string"}}}
    return told


def _also_json(view: str) -> dict[int | str, dict[str, Any]]:
    schema = {"$ref": f"#/components/schemas/{view}"}
    return {200: {"content": {"application/json": {"schema": schema}}}}


@router.get(
    "/{token}",
    operation_id="show_link",
    responses=_also_json("LinkView") | _told(*OF_ALL),
)
async def show_link(request: Request, token: Token) -> Response:
    """What a link asks for: a form for a person, its schema for a program. It changes nothing."""
    link = _link_of(request, token)
    place = await _place_of(request, link)
    signal = _open_signal(request, link, place)
    if not wants_page(request.scope):
        return json_response(
            {
                "pipeline": place.pipeline,
                "signal": link.name,
                "title": link.title,
                "text": link.text,
                "expires_at": datetime.fromtimestamp(link.expires, UTC),
                "value_schema": signal.codec.schema(),
            }
        )
    form = _form_of(signal)
    return _form(link, place, form, posted_of(form))


@router.head("/{token}", operation_id="look_at_link", responses=_told(*OF_ALL))
async def look_at_link(request: Request, token: Token) -> Response:
    """Whether a link can be answered."""
    return await show_link(request, token)


@router.post(
    "/{token}",
    operation_id="answer_link",
    responses=_also_json("LinkAnswered")
    | {303: {"description": "The answer stands; see what is said of it."}}
    | _told(*OF_ALL, "SCHEMA_VALIDATION_ERROR", "PAYLOAD_TOO_LARGE", malformed=True),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"description": "A value of the signal's type."}},
                "application/x-www-form-urlencoded": {
                    "schema": {"type": "object", "description": "As the page's form sends it."}
                },
            },
        }
    },
)
async def answer_link(request: Request, token: Token) -> Response:
    """Answer a link. The first answer stands; sent again, the same one is answered the same."""
    link = _link_of(request, token)
    place = await _place_of(request, link)
    if JSON_VALUE in request.scope:
        return await _answer_json(request, link, place)
    signal = signal_of(service_of(request).app.pipeline(place.pipeline), link.name)
    form, posted = _form_of(signal), await _posted(request)
    text, problems = read_answer(form, posted, signal.codec)
    if not problems:
        try:
            await send_text(service_of(request).app, link.job, signal, text, actor=link.sender)
        except InputError as error:  # it is larger than what is stored
            problems = places_of(form, error.problems)
    if problems:
        _refuse_closed(place)
        return _form(link, place, form, posted, problems)
    return Response(status_code=303, headers={"Location": f"{token}/answered"})


@router.get("/{token}/answered", operation_id="show_answered", responses=_told(*OF_ALL))
async def show_answered(request: Request, token: Token) -> Response:
    """What a person sees who has answered; who has not is sent to the question."""
    link = _link_of(request, token, is_answered=True)
    place = await _place_of(request, link)
    if place.received_at is None or place.expired:
        _refuse_closed(place)
        return Response(status_code=303, headers={"Location": f"../{token}"})
    return message_page(THANKS, 200)


def _link_of(request: Request, token: str, *, is_answered: bool = False) -> Link:
    link = read_token(service_of(request).app.links.keys, token)
    if link is None:
        raise not_found("link")
    if time.time() >= link.expires and not is_answered:
        raise ProblemError("LINK_EXPIRED")
    return link


async def _place_of(request: Request, link: Link) -> LinkPlace:
    async with service_of(request).app.connection(wait_s=CONNECTION_WAIT_S) as connection:
        place = await read_link_place(connection, link.job, link.name, link.run)
    if place is None:
        raise not_found("link")
    if place.begun_anew:
        raise ProblemError("LINK_EXPIRED", "the job was begun again since, and asks anew")
    return place


def _refuse_closed(place: LinkPlace) -> None:
    if place.received_at is not None:
        raise ProblemError("SIGNAL_EXPIRED" if place.expired else "SIGNAL_TAKEN")
    if place.state not in {JobState.QUEUED, JobState.RUNNING}:
        raise ProblemError("JOB_FINISHED")


def _open_signal(request: Request, link: Link, place: LinkPlace) -> AwaitedSignal:
    _refuse_closed(place)
    return signal_of(service_of(request).app.pipeline(place.pipeline), link.name)


@lru_cache(maxsize=256)
def _form_of(signal: AwaitedSignal) -> Field:
    return make_form(signal.codec.schema(), signal.name)


async def _posted(request: Request) -> Mapping[str, Sequence[str]]:
    try:
        return parse_qs(
            (await request.body()).decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MOST_CONTROLS,
        )
    except ValueError:
        raise ProblemError("VALIDATION_ERROR", "the body is no form", status=400) from None


async def _answer_json(request: Request, link: Link, place: LinkPlace) -> Response:
    app = service_of(request).app
    signal = signal_of(app.pipeline(place.pipeline), link.name)
    try:
        text = (await request.body()).decode()
        await send_text(app, link.job, signal, text, actor=link.sender)
    except (CodecError, InputError) as error:
        raise misfit(link.name, error) from None
    return json_response({"signal": link.name, "state": "received"})


def _form(
    link: Link,
    place: LinkPlace,
    form: Field,
    posted: Mapping[str, Sequence[str]],
    problems: Mapping[str, str] | None = None,
) -> Response:
    return form_page(
        show(form, posted, problems or {}),
        status=422 if problems else 200,
        pipeline=pretty(place.pipeline),
        title=link.title or pretty(link.name),
        text=link.text,
        until=moment_text(datetime.fromtimestamp(link.expires, UTC)),
        button="Send answer" if form.kind != "fixed" else "Confirm",
    )
