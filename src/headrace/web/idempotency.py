"""`Idempotency-Key` on every POST: the same request again gets the first answer again.

A route class does it, so that it knows the caller and what the route answers: give `KeyedRoute` to
the router of anything that has a POST. Submissions need none of this: their key is stored with the
job, in one transaction.
"""

from __future__ import annotations

import contextlib
import hashlib
from datetime import timedelta
from functools import partial
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
from headrace.web.gate.paths import takes_upload
from headrace.web.problems import ProblemError, problem_for
from headrace.web.state import Service, service_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from starlette.types import Scope

    from headrace.store.pool import HeldConnection
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
            scope = request.scope
            if is_streamed(scope):
                key_of(scope)  # a bad one is refused before the body is read
                return await serve(request)
            return await serve_once(request, _fingerprint(scope), partial(serve, request))

        return serve_keyed


async def serve_once(
    request: Request, fingerprint: bytes, serve: Callable[[], Awaitable[Response]]
) -> Response:
    """The answer to a request: where it has a key that was used, the first one.

    For what streams its body, and so knows only in its route what has to be the same.

    Args:
        request: With a key or without.
        fingerprint: Of all that has to be the same.
        serve: Answers it.

    Raises:
        ProblemError: `IDEMPOTENCY_KEY_REUSED`, `CONFLICT` while the same request is served, and
            what `serve` raises of our side's.
    """
    key = key_of(request.scope)
    return await (serve() if key is None else _serve_once(request, key, fingerprint, serve))


async def _serve_once(
    request: Request, text: str, fingerprint: bytes, serve: Callable[[], Awaitable[Response]]
) -> Response:
    service = service_of(request)
    identity = await identify(request)
    key = RequestKey(identity.tenant, identity.owner, text)
    async with _keys_of(service, key) as connection:
        taken = await begin_request(
            connection,
            key,
            fingerprint,
            pending=timedelta(seconds=service.settings.idempotency_pending_s),
            keep=timedelta(seconds=service.settings.idempotency_ttl_s),
        )
        known = None if taken is not None else await find_request(connection, key)
    if taken is None:
        return _again(known, fingerprint)
    try:
        response = await serve()
    except Exception as error:
        problem = problem_for(error)
        if problem.status >= 500 or problem.status in NOT_KEPT:  # noqa: PLR2004 - our side's
            await _forget(service, key, taken)
            raise
        response = problem.response(request.scope)
    await _keep(service, key, taken, response)
    return response


def is_streamed(scope: Scope) -> bool:
    """Whether the route reads the body as it comes."""
    return takes_upload(scope["method"], scope["path"]) and JSON_VALUE not in scope


def _fingerprint(scope: Scope) -> bytes:
    """What has to be the same."""
    body = b""
    if JSON_VALUE in scope:
        body = orjson.dumps(scope[JSON_VALUE], option=orjson.OPT_SORT_KEYS)
    return fingerprint_of(scope, body)


def fingerprint_of(scope: Scope, *body: bytes) -> bytes:
    """A request as its key stands for it.

    Args:
        scope: Of the request.
        body: What its body says; parts that hold no newline, but for the last one.
    """
    parts = (scope["method"].encode(), scope["path"].encode(), scope["query_string"], *body)
    return hashlib.sha256(b"\n".join(parts)).digest()


def _keys_of(service: Service, key: RequestKey) -> AbstractAsyncContextManager[HeldConnection]:
    """A connection that sees the keys of one owner only, and may change them."""
    return service.wall.seen_by(key.tenant, key.owner)


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
        async with _keys_of(service, key) as connection:
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
        async with _keys_of(service, key) as connection:
            await forget_request(connection, key, taken)
