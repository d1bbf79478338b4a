"""A short way for the one request that has to be fast: from the gate to its handler.

FastAPI's way through router, dependencies and response costs as much as storing the job. The route
stands in the OpenAPI document, with the same handler behind it; a test holds that both ways agree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fastapi.routing import APIRoute
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send


class Express:
    """Serves POST on the path of one route; everything else goes its usual way.

    Args:
        app: The usual way.
        route: The route whose requests are served here.
        serve: Answers one; its errors go to the gate.
    """

    def __init__(
        self, app: ASGIApp, *, route: APIRoute, serve: Callable[[Request], Awaitable[Response]]
    ) -> None:
        self._app, self._route, self._serve = app, route, serve
        self._path = route.path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http" or scope["path"] != self._path or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        scope["route"] = self._route  # as the router would: what is told of it names the route
        response = await self._serve(Request(scope, receive))
        await response(scope, receive, send)
