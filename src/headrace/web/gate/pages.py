"""Errors of pages as pages: who opens a link in a browser is not shown a problem document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.web.gate.paths import LINKS
from headrace.web.problems import SHOWN_AS

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

    from headrace.web.problems import Problem

JSON: Final = b"application/json"


class Pages:
    """Has the problems of links told as pages; stands outside of all that may refuse a request.

    Args:
        app: The layers below.
        show: Makes the page of a problem.
    """

    def __init__(self, app: ASGIApp, *, show: Callable[[Problem], Response]) -> None:
        self._app, self._show = app, show

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["path"].startswith(LINKS) and wants_page(scope):
            scope[SHOWN_AS] = self._show
        await self._app(scope, receive, send)


def wants_page(scope: Scope) -> bool:
    """Whether a person asks; a program says that it sends or takes JSON."""
    headers = dict(scope["headers"])
    if headers.get(b"content-type", b"").lower().startswith(JSON):
        return False
    accept = headers.get(b"accept", b"").lower()
    return b"text/html" in accept or JSON not in accept
