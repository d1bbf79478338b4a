"""/v1/admin/breakers: circuit breakers are looked at, opened and closed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import Path, Request
from fastapi.responses import Response

from headrace.reliability.breakers import states_of, tell_of
from headrace.store.breakers import list_breakers, set_breaker
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
from headrace.web.state import service_of
from headrace.web.views.breakers import (
    BreakerView,
    ResetBody,
    SetBreakers,
    TripBody,
    breaker_view,
)

if TYPE_CHECKING:
    from headrace.store.breakers import SetBreaker

router = admin_router("breakers")

Name = Annotated[
    str, Path(max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Its name.")
]


@listing(router, "admin_list_breakers", list[BreakerView])
async def admin_list_breakers(request: Request, identity: Operator, reason: Why) -> Response:
    """The breakers that calls have used, 1,000 at most: those first that are not closed."""
    await note(request, identity, "breaker.list", "all", reason)
    async with service_of(request).app.connection() as connection:
        breakers = await list_breakers(connection)
    return json_response([breaker_view(breaker) for breaker in breakers])


@action(router, "/{name}/trip", "admin_trip_breaker", SetBreakers)
async def admin_trip_breaker(
    request: Request, identity: Operator, name: Name, body: TripBody
) -> Response:
    """Open a breaker: no call gets through, and steps wait without using attempts."""
    return await _set(request, identity, name, "open", body, seconds=body.open_for_s)


@action(router, "/{name}/reset", "admin_reset_breaker", SetBreakers)
async def admin_reset_breaker(
    request: Request, identity: Operator, name: Name, body: ResetBody
) -> Response:
    """Close a breaker, and forget its failures."""
    return await _set(request, identity, name, "closed", body)


async def _set(
    request: Request,
    identity: Operator,
    name: str,
    state: Literal["open", "closed"],
    body: ResetBody,
    *,
    seconds: int | None = None,
) -> Response:
    open_for = None if seconds is None else timedelta(seconds=seconds)
    word = "breaker.trip" if state == "open" else "breaker.reset"
    target = name if body.tenant is None else f"{name} of {body.tenant}"
    async with acting(request, identity, word, target, body.reason) as act:
        done = await set_breaker(
            act.connection,
            name,
            state,
            tenant=body.tenant,
            open_for=open_for,
            why=body.reason,
            actor=identity.subject,
        )
        before, after = states_of(done)
        act.after = {"before": before, "after": after}
    tell_of(name, done, body.reason, open_for)
    return json_response({"name": name, "breakers": [_view(one) for one in done]})


def _view(done: SetBreaker) -> dict[str, str | None]:
    return {"tenant": done.tenant or None, "before": done.from_state, "state": done.state}
