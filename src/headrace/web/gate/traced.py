"""Requests inside spans; in place only while traces are on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from headrace.telemetry.tracing import Tracing

UNTRACED: Final = frozenset({"/health", "/ready", "/metrics"})
"""They are asked every few seconds, and tell nothing that a trace is good for."""
HEADER: Final = b"traceparent"
SERVER_ERROR: Final = 500


class Traced:
    """The outermost layer: a span for each request, which the layers below take for its sender.

    Args:
        app: The layers below.
        tracing: Makes the spans.
    """

    def __init__(self, app: ASGIApp, *, tracing: Tracing) -> None:
        self._app, self._tracing = app, tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"] in UNTRACED:
            await self._app(scope, receive, send)
            return
        tracing = self._tracing
        with tracing.request(scope["method"], _given(scope)) as span:
            # What is stored with a job, and is linked to, is this span, not the client's.
            others = [pair for pair in scope["headers"] if pair[0] != HEADER]
            scope["headers"] = [*others, (HEADER, tracing.traceparent(span).encode())]

            async def send_noted(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= SERVER_ERROR:
                        tracing.fail(span, str(message["status"]), "")
                await send(message)

            try:
                await self._app(scope, receive, send_noted)
            finally:
                route = getattr(scope.get("route"), "path", None) or "unknown"
                span.update_name(f"{scope['method']} {route}")
                span.set_attributes({"http.request.method": scope["method"], "http.route": route})


def _given(scope: Scope) -> str | None:
    found = [value for name, value in scope["headers"] if name == HEADER]
    return found[0].decode("latin-1") if len(found) == 1 else None
