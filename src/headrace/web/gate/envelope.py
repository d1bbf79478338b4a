"""The outermost layer: an id for every request, safe headers on every answer, one line for each.

An error that no layer below could turn into an answer becomes a problem here, and its traceback an
event; the client sees `INTERNAL_ERROR` and the id by which the event is found.
"""

from __future__ import annotations

import os
import re
import traceback
from time import perf_counter
from typing import TYPE_CHECKING, Final

from headrace.telemetry.events import emit, enabled
from headrace.telemetry.request_events import RequestFailed, RequestServed
from headrace.web.gate.pages import wants_page
from headrace.web.gate.paths import LINKS
from headrace.web.problems import REQUEST_ID, SHOWN_AS, ProblemError, problem_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from headrace.web.problems import Problem

HEADERS: Final = "headrace.headers"
"""The headers of a request by name, in its scope; of several with one name, the last."""
TRACEPARENT: Final = "headrace.traceparent"
"""Where the W3C trace context of a request is in its scope; missing where none was sent."""
IDENTITY: Final = "headrace.identity"
"""Where the dependencies put the caller, for the line about the request."""
LONGEST_ID: Final = 128
SCHEMA_VERSION: Final = "1.0.0"
"""Of the bodies of requests and answers; a client may name the one that it was written for."""
VERSION_HEADER: Final = "X-Schema-Version"
_VERSION_HEADER: Final = VERSION_HEADER.lower().encode()
_VERSION: Final = SCHEMA_VERSION.encode()
_ID_HEADER: Final = b"x-request-id"
_ACCEPTED: Final = re.compile(rb"[\x21-\x7e]{1,128}")
_TRACEPARENT: Final = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

POLICY: Final = "default-src 'none'; frame-ancestors 'none'"
DOCS_POLICY: Final = (
    "default-src 'none'; frame-ancestors 'none'; connect-src 'self'; "
    "img-src 'self' data: https://fastapi.tiangolo.com; "
    "style-src 'self' https://cdn.jsdelivr.net; "
    "script-src 'self' 'unsafe-inline' https://cdn.jsdelivr.net"
)
"""Of the pages at /docs, which exist in development only."""
SECURE: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (_VERSION_HEADER, _VERSION),
)
STRICT_TRANSPORT: Final = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")


class Envelope:
    """Wraps every request; see the module.

    Args:
        app: The layers below.
        is_production: Whether clients are told to come by TLS only.
        pages: The content security policy of pages behind links, and what makes the page of a
            problem, for a person who has opened one.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        is_production: bool,
        pages: tuple[str, Callable[[Problem], Response]] | None = None,
    ) -> None:
        self._app = app
        self._show = None if pages is None else pages[1]
        page_policy = POLICY if pages is None else pages[0]
        secure = (*SECURE, STRICT_TRANSPORT) if is_production else SECURE
        self._headers = (*secure, (b"content-security-policy", POLICY.encode()))
        self._docs_headers = (*secure, (b"content-security-policy", DOCS_POLICY.encode()))
        self._page_headers = (*secure, (b"content-security-policy", page_policy.encode()))

    def _headers_for(self, scope: Scope) -> tuple[tuple[bytes, bytes], ...]:
        path = scope["path"]
        if path.startswith(LINKS):
            if self._show is not None and wants_page(scope):
                scope[SHOWN_AS] = self._show
            return self._page_headers
        return self._docs_headers if path == "/docs" else self._headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        request_id = _read_headers(scope)
        headers = self._headers_for(scope)
        status = 0

        async def send_sealed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = message["headers"]
                given += headers
                given.append((_ID_HEADER, request_id))
                for name, _ in given:
                    if name == b"cache-control":
                        break
                else:
                    given.append((b"cache-control", b"no-store"))
            await send(message)

        try:
            _check_version(scope)
            await self._app(scope, receive, send_sealed)
        except Exception as error:
            if status:
                _tell_failed(scope, error)
                raise
            problem = problem_for(error)
            if problem.code == "INTERNAL_ERROR":
                _tell_failed(scope, error)
            await problem.response(scope)(scope, receive, send_sealed)
        finally:
            if enabled(RequestServed):
                _tell_served(scope, status, perf_counter() - began)


def _read_headers(scope: Scope) -> bytes:
    """Put headers, id and trace context of a request in its scope; the id as a header's value."""
    headers = scope[HEADERS] = dict(scope["headers"])
    traceparent = headers.get(b"traceparent")
    if traceparent is not None and _TRACEPARENT.fullmatch(traceparent):
        scope[TRACEPARENT] = traceparent.decode()
    request_id: bytes | None = headers.get(_ID_HEADER)
    if request_id is None or not _ACCEPTED.fullmatch(request_id):
        request_id = os.urandom(16).hex().encode()
    scope[REQUEST_ID] = request_id.decode()
    return request_id


def _check_version(scope: Scope) -> None:
    wanted = scope[HEADERS].get(_VERSION_HEADER)
    if wanted is not None and wanted != _VERSION:
        raise ProblemError("UNSUPPORTED_VERSION", f"{VERSION_HEADER} is {SCHEMA_VERSION} here")


def _tell_served(scope: Scope, status: int, seconds: float) -> None:
    route = scope.get("route")
    identity = scope.get(IDENTITY)
    emit(
        RequestServed(
            request_id=scope[REQUEST_ID],
            method=scope["method"],
            # Not the path itself: it holds ids, and whatever a stranger writes there.
            route=getattr(route, "path", None) or "unknown",
            status=status,
            latency_ms=round(1_000 * seconds, 3),
            schema_version=SCHEMA_VERSION,
            tenant=getattr(identity, "tenant", None),
            caller=getattr(identity, "subject", None),
        )
    )


def _tell_failed(scope: Scope, error: Exception) -> None:
    emit(
        RequestFailed(
            request_id=scope[REQUEST_ID],
            method=scope["method"],
            route=getattr(scope.get("route"), "path", None) or "unknown",
            error=f"{type(error).__name__}: {error}",
            stack="".join(traceback.format_exception(error)),
        )
    )
