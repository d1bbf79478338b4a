"""The time that a request may take, but for those that are meant to last."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, cast

from headrace.web.problems import SLOW, ProblemError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_S: Final = 30.0
READS_BODY: Final = "headrace.reads_body"
"""In a scope while the body of its request is awaited: its client is what takes so long."""


class TimeLimit:
    """Cancels a request after 30 s, and answers 504.

    One timer serves all requests: a timer for each costs as much as reading its body.

    Args:
        app: The layers below.
        may_last: Whether a method and path have no limit here: streams, uploads, waiting calls.
        seconds: Another limit.
    """

    def __init__(
        self, app: ASGIApp, *, may_last: Callable[[str, str], bool], seconds: float = REQUEST_S
    ) -> None:
        self._app, self._may_last, self._seconds = app, may_last, seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ends: dict[asyncio.Task[Any], float] = {}
        """When the time of each request is over; the oldest comes first."""
        self._late: set[asyncio.Task[Any]] = set()

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

        task = self._begin()
        try:
            await self._app(scope, receive, send_noted)
        except asyncio.CancelledError:
            if not self._end(task):
                raise
            if has_started:
                raise TimeoutError from None
            await _too_late(scope, self._seconds).problem().response(scope)(scope, receive, send)
        finally:
            self._end(task)

    def _begin(self) -> asyncio.Task[Any]:
        """Count the time of the present task from now on."""
        loop = asyncio.get_running_loop()
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._ends[task] = end = loop.time() + self._seconds
        if loop is not self._loop:  # the timer of a loop that is over never comes
            self._loop = loop
            loop.call_at(end, self._cancel_late)
        return task

    def _end(self, task: asyncio.Task[Any]) -> bool:
        """Count no more; whether the task was cancelled here, and by nobody else."""
        self._ends.pop(task, None)
        if task not in self._late:
            return False
        self._late.remove(task)
        return task.uncancel() == 0

    def _cancel_late(self) -> None:
        """Cancel what is late, and look again when the time of the next one is over."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        again = now + self._seconds
        for task, end in self._ends.items():
            if end > now:
                again = end
                break
            self._late.add(task)
            task.cancel()
        for task in self._late:
            self._ends.pop(task, None)
        loop.call_at(again, self._cancel_late)


def _too_late(scope: Scope, seconds: float) -> ProblemError:
    if READS_BODY in scope:
        detail = f"the body did not arrive within {seconds:g} s"
        return ProblemError("TIMEOUT", detail, status=SLOW, headers={"Connection": "close"})
    return ProblemError("TIMEOUT", f"the request took longer than {seconds:g} s")
