"""`Idempotency-Key` on every POST: the same request again gets the first answer again.

A route class does it, so that it knows the caller and what the route answers: give `KeyedRoute` to
the router of anything that has a POST. Submissions need none of this: their key is stored with the
job, in one transaction.
"""

from __future__ import annotations

import contextlib
import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import orjson
from fastapi import Request, Response
from fastapi.routing import APIRoute

from headrace.errors import UnavailableError
from headrace.store.requests import (
    RequestKey,
    begin_request,
    end_request,
    find_request,
    forget_request,
)
from headrace.web.auth.depends import identify
from headrace.web.gate.body import JSON_VALUE
from headrace.web.gate.envelope import HEADERS
from headrace.web.problems import ProblemError, problem_for
from headrace.web.state import Service, service_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from datetime import datetime

    from starlette.types import Scope

    from headrace.store.requests import KnownRequest

LONGEST_KEY: Final = 255
HEADER: Final = b"idempotency-key"
KEY_PARAMETER: Final[dict[str, Any]] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "1 to 255 printable ASCII characters. The same request with the same key has "
    "one effect, and gets the first answer again, for 24 hours.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    "example": "order-4711",
}
NOT_KEPT: Final = frozenset({401, 403, 408, 429})
"""Answers that say nothing about the request itself; those from 500 on are not kept either."""
KEPT_HEADERS: Final = frozenset({"content-type", "location", "retry-after"})


def keyed() -> dict[str, Any]:
    """For `openapi_extra=` of a POST: its document names the key."""
    return {"parameters": [KEY_PARAMETER]}


def key_of(scope: Scope) -> str | None:
    """The idempotency key of a request; None where it has none.

    Raises:
        ProblemError: It is empty, too long, not printable ASCII, or there are two.
    """
    found: bytes | None = scope[HEADERS].get(HEADER)
    if found is None:
        return None
    if sum(name == HEADER for name, _ in scope["headers"]) > 1:
        raise _bad_key()
    if not 1 <= len(found) <= LONGEST_KEY or not all(32 <= byte < 127 for byte in found):  # noqa: PLR2004 - ASCII
        raise _bad_key()
    return found.decode()


def _bad_key() -> ProblemError:
    return ProblemError(
        "VALIDATION_ERROR",
        "Idempotency-Key takes 1 to 255 printable ASCII characters, once",
        status=400,
    )


class KeyedRoute(APIRoute):
    """A route whose POST has one effect for each idempotency key of its caller."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's own handler, behind a look at the key."""
        serve = super().get_route_handler()
        if "POST" not in (self.methods or ()):
            return serve

        async def serve_keyed(request: Request) -> Response:
            key = key_of(request.scope)
            return await (serve(request) if key is None else _serve_once(request, key, serve))

        return serve_keyed


async def _serve_once(
    request: Request, text: str, serve: Callable[[Request], Coroutine[Any, Any, Response]]
) -> Response:
    service = service_of(request)
    identity = await identify(request)
    key = RequestKey(identity.tenant, identity.owner, text)
    fingerprint = _fingerprint(request)
    async with service.app.connection() as connection:
        taken = await begin_request(
            connection,
            key,
            fingerprint,
            pending=timedelta(seconds=service.settings.idempotency_pending_s),
            keep=timedelta(seconds=service.settings.idempotency_ttl_s),
        )
        if taken is None:
            return _again(await find_request(connection, key), fingerprint)
    try:
        response = await serve(request)
    except Exception as error:
        problem = problem_for(error)
        if problem.status >= 500 or problem.status in NOT_KEPT:  # noqa: PLR2004 - our side's
            await _forget(service, key, taken)
            raise
        response = problem.response(request.scope)
    await _keep(service, key, taken, response)
    return response


def _fingerprint(request: Request) -> bytes:
    """What has to be the same; of a body that is streamed, only its length and type."""
    scope = request.scope
    if JSON_VALUE in scope:
        body = orjson.dumps(scope[JSON_VALUE], option=orjson.OPT_SORT_KEYS)
    else:
        kind = request.headers.get("content-type", "").partition(";")[0]
        # The boundary of a form is another one each time.
        body = f"{request.headers.get('content-length', '')} {kind}".encode()
    parts = (scope["method"].encode(), scope["path"].encode(), scope["query_string"], body)
    return hashlib.sha256(b"\n".join(parts)).digest()


def _again(known: KnownRequest | None, fingerprint: bytes) -> Response:
    if known is not None and known.fingerprint != fingerprint:
        raise ProblemError("IDEMPOTENCY_KEY_REUSED")
    if known is None or known.status is None:
        raise ProblemError(
            "CONFLICT", "the same request is being served", headers={"Retry-After": "1"}
        )
    headers = {**orjson.loads(known.headers or "{}"), "Idempotent-Replay": "true"}
    return Response(known.body, known.status, headers)


async def _keep(service: Service, key: RequestKey, taken: datetime, response: Response) -> None:
    body = getattr(response, "body", None)
    if not isinstance(body, bytes) or response.status_code in NOT_KEPT:
        await _forget(service, key, taken)  # a stream is not kept
        return
    headers = {name: text for name, text in response.headers.items() if name in KEPT_HEADERS}
    # It has had its effect: whether its answer can be kept changes nothing for this client.
    with contextlib.suppress(UnavailableError):
        async with service.app.connection() as connection:
            await end_request(
                connection,
                key,
                taken,
                status=response.status_code,
                headers=orjson.dumps(headers).decode(),
                body=body,
            )


async def _forget(service: Service, key: RequestKey, taken: datetime) -> None:
    with contextlib.suppress(UnavailableError):
        async with service.app.connection() as connection:
            await forget_request(connection, key, taken)
