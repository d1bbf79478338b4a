"""The time that a request may take, but for those that are meant to last."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from headrace.web.problems import ProblemError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_S: Final = 30.0
READS_BODY: Final = "headrace.reads_body"
"""In a scope while the body of its request is awaited: its client is what takes so long."""


class TimeLimit:
    """Cancels a request after 30 s, and answers 504.

    Args:
        app: The layers below.
        may_last: Whether a method and path have no limit here: streams, uploads, waiting calls.
        seconds: Another limit.
    """

    def __init__(
        self, app: ASGIApp, *, may_last: Callable[[str, str], bool], seconds: float = REQUEST_S
    ) -> None:
        self._app, self._may_last, self._seconds = app, may_last, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request within its time."""
        if scope["type"] != "http" or self._may_last(scope["method"], scope["path"]):
            await self._app(scope, receive, send)
            return
        has_started = False

        async def send_noted(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        limit = asyncio.timeout(self._seconds)
        try:
            async with limit:
                await self._app(scope, receive, send_noted)
        except TimeoutError:
            if has_started or not limit.expired():
                raise
            await _late(scope, self._seconds).problem().response(scope)(scope, receive, send)


def _late(scope: Scope, seconds: float) -> ProblemError:
    if READS_BODY in scope:
        detail = f"the body did not arrive within {seconds:g} s"
        return ProblemError("TIMEOUT", detail, status=408, headers={"Connection": "close"})
    return ProblemError("TIMEOUT", f"the request took longer than {seconds:g} s")
