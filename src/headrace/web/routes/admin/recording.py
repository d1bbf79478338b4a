"""The audit of each call: what changes something is recorded in the transaction that does it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

from fastapi import APIRouter, Query

from headrace.store.audit import Action, record_action
from headrace.web.idempotency import KeyedRoute, keyed
from headrace.web.problems import READING, REQUEST_ID, WRITING, responses
from headrace.web.state import service_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pydantic import BaseModel
    from starlette.requests import Request

    from headrace.store.pool import HeldConnection
    from headrace.web.auth.identity import Identity

F = TypeVar("F", bound=Callable[..., Any])

WHY: Final = Query(
    min_length=1,
    max_length=500,
    pattern=r"^[^\x00]+$",
    description="Why you look, or act; kept in the audit.",
    examples=["ticket 4711"],
)
Why = Annotated[str, WHY]
"""The reason of a call without a body."""
OF_LISTS: Final = READING
OF_ACTIONS: Final = (*WRITING, "NOT_FOUND", "CONFLICT")


def admin_router(part: str, tag: str = "admin", *, takes_keys: bool = True) -> APIRouter:
    """A router of one part of `/v1/admin`.

    Args:
        part: The end of its prefix.
        tag: Of its operations in the document.
        takes_keys: Whether its POSTs take idempotency keys; not where an answer holds a secret.
    """
    prefix = f"/v1/admin/{part}"
    if not takes_keys:
        return APIRouter(prefix=prefix, tags=[tag])
    return APIRouter(prefix=prefix, tags=[tag], route_class=KeyedRoute)


def action_of(
    request: Request, identity: Identity, name: str, target: str, reason: str, **more: Any
) -> Action:
    """What is recorded of a request; `before` and `after` where they are given."""
    return Action(identity.subject, name, target, reason, request.scope.get(REQUEST_ID), **more)


async def note(
    request: Request, identity: Identity, name: str, target: str, reason: str, **more: Any
) -> None:
    """Record something by itself: a look, or the beginning of what no transaction can hold."""
    async with service_of(request).app.connection() as connection:
        await record_action(connection, action_of(request, identity, name, target, reason, **more))


@dataclass(slots=True)
class Act:
    """An action under way."""

    connection: HeldConnection
    """In the transaction that does it."""
    after: Any = None
    """What it led to, for its record."""


@contextlib.asynccontextmanager
async def acting(
    request: Request, identity: Identity, name: str, target: str, reason: str
) -> AsyncIterator[Act]:
    """A transaction for an action inside an `async with` block, at whose end it is recorded."""
    async with service_of(request).app.connection() as connection, connection.transaction():
        act = Act(connection)
        yield act
        done = action_of(request, identity, name, target, reason, after=act.after)
        await record_action(connection, done)


def action(
    router: APIRouter, path: str, name: str, model: type[BaseModel], *, status: int = 200
) -> Callable[[F], F]:
    """Makes a function the route of a POST that does something.

    Args:
        router: Of its part.
        path: Below the router's prefix.
        name: Its operation in the document.
        model: Of the answer.
        status: Of the answer.
    """
    return router.post(
        path,
        status_code=status,
        operation_id=name,
        response_model=model,
        responses=responses(*OF_ACTIONS, malformed="{" in path),
        openapi_extra=keyed() if issubclass(router.route_class, KeyedRoute) else None,
    )


def listing(router: APIRouter, name: str, model: object) -> Callable[[F], F]:
    """Makes a function the route of a GET that shows a list; arguments as `action`."""
    return router.get(
        "",
        operation_id=name,
        response_model=model,
        responses=responses(*OF_LISTS, malformed=True),
    )
