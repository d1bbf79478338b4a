"""The audit of each call: what changes something is recorded in the transaction that does it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Query

from headrace.store.audit import Action, record_action
from headrace.web.idempotency import KeyedRoute
from headrace.web.problems import READING, REQUEST_ID, WRITING
from headrace.web.state import service_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from headrace.store.pool import HeldConnection
    from headrace.web.auth.identity import Identity

WHY: Final = Query(
    min_length=1,
    max_length=500,
    description="Why you look, or act; kept in the audit.",
    examples=["ticket 4711"],
)
Why = Annotated[str, WHY]
"""The reason of a call without a body."""
OF_LISTS: Final = READING
OF_ACTIONS: Final = (*WRITING, "NOT_FOUND", "CONFLICT")


def admin_router(part: str, tag: str = "admin", *, keyed: bool = True) -> APIRouter:
    """A router of one part of `/v1/admin`.

    Args:
        part: The end of its prefix.
        tag: Of its operations in the document.
        keyed: Whether its POSTs take idempotency keys; not where an answer holds a secret.
    """
    prefix = f"/v1/admin/{part}"
    if not keyed:
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


@contextlib.asynccontextmanager
async def acting(request: Request) -> AsyncIterator[HeldConnection]:
    """A transaction for an action and its record, inside an `async with` block."""
    async with service_of(request).app.connection() as connection, connection.transaction():
        yield connection
