"""POST /push: a message of Pub/Sub, and the work that it rings for, inside of one request.

204 settles the message; after anything else Pub/Sub delivers it again.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter, Request, Security
from fastapi.responses import Response
from starlette.requests import ClientDisconnect

from headrace.errors import SchemaError
from headrace.telemetry.events import emit
from headrace.telemetry.identity_events import CredentialRefused
from headrace.web.auth.refusal import Reason
from headrace.web.problems import ProblemError, responses
from headrace.web.push.envelope import LARGEST_BYTES, MalformedError, read_envelope
from headrace.web.push.guard import PusherRequirement
from headrace.web.state import service_of
from headrace.worker.slices import BusyError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from headrace.model.incoming import Incoming
    from headrace.web.push.desk import Desk

router = APIRouter(tags=["service"])

BODY_S: Final = 30.0
RETRY: Final = {"Retry-After": "5"}
CLOSE: Final = {"Connection": "close"}
Pusher = Annotated[None, Security(PusherRequirement())]


@router.post(
    "/push",
    operation_id="push",
    status_code=204,
    responses=responses("AUTH_REQUIRED", "FORBIDDEN", "UNAVAILABLE", "DATABASE_ERROR"),
)
async def push(request: Request, _: Pusher) -> Response:
    """Take a message of the push subscription; the answer is its acknowledgement.

    A ring has one due job worked on, for up to `HEADRACE_PUSH_SLICE_S`; a job is stored; what can
    never be taken is put aside. None of it goes on after the answer.
    """
    desk = service_of(request).desk
    assert desk is not None  # noqa: S101 - the route is there only where it is
    body = await _body(request)
    try:
        envelope = read_envelope(body)
    except MalformedError as malformed:
        _check_subscription(desk, malformed.subscription or desk.subscription)
        with _not_migrated():
            await desk.record(body, malformed)
        return Response(status_code=204)
    _check_subscription(desk, envelope.subscription)
    return await _settled(desk, envelope.message, request)


async def _settled(desk: Desk, message: Incoming, request: Request) -> Response:
    async with _watched(request) as gone:
        try:
            with _not_migrated():
                is_settled = await desk.receive(message, gone)
        except BusyError:
            is_settled = False
    if not is_settled:
        raise ProblemError("UNAVAILABLE", "the message has to come again", headers=RETRY)
    return Response(status_code=204)


@contextlib.contextmanager
def _not_migrated() -> Iterator[None]:
    """A database that waits for `headrace migrate` is one that cannot be used yet."""
    try:
        yield
    except SchemaError:
        raise ProblemError("DATABASE_ERROR", headers=RETRY) from None


def _check_subscription(desk: Desk, name: str) -> None:
    if name != desk.subscription:
        emit(CredentialRefused(reason=Reason.WRONG_SUBSCRIPTION))
        raise ProblemError("FORBIDDEN", "messages of this subscription are not taken here")


async def _body(request: Request) -> bytes:
    """The body, or a little more of it than may be."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for part in request.stream():
                body += part
                if len(body) > LARGEST_BYTES:
                    break
    except (TimeoutError, ClientDisconnect):
        detail = "the message did not arrive"
        raise ProblemError("UNAVAILABLE", detail, headers=RETRY | CLOSE) from None
    return bytes(body)


@contextlib.asynccontextmanager
async def _watched(request: Request) -> AsyncIterator[asyncio.Event]:
    """An event that is set when the client leaves, inside an `async with` block."""
    gone = asyncio.Event()

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        gone.set()

    watching = asyncio.create_task(watch(), name="headrace push")
    try:
        yield gone
    finally:
        watching.cancel()
        await asyncio.wait({watching})
