"""Following a job: its events as they come, over broken connections and restarts of the server."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from headrace.remote.errors import ForeignAnswerError, ServiceUnavailableError
from headrace.remote.problems import Subject
from headrace.remote.transport import Call, Refused
from headrace.remote.values import JobEvent

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from headrace.errors import HeadraceError
    from headrace.remote.transport import Transport

STREAM: Final = "text/event-stream"
NAMES: Final = frozenset({"state", "step", "signal", "progress", "result"})
OVER: Final = 204
"""The client knows everything."""
RETURN_S: Final = 2.0
"""Within which a client comes back after a stream that ended, where the server says nothing."""
LONGEST_RETURN_S: Final = 10.0
STEADY_S: Final = 5.0
"""A stream that lasted so long did not fail: patience begins anew."""
POLL_FIRST_S: Final = 2.0
POLL_LONGEST_S: Final = 10.0
POLL_GROWTH: Final = 1.25


class PollPauses:
    """The pauses between two looks at a job: 2 s at first, growing to 10 s."""

    def __init__(self) -> None:
        self._next_s = POLL_FIRST_S

    async def wait(self) -> None:
        """Wait until the next look."""
        await asyncio.sleep(self._next_s)
        self._next_s = min(self._next_s * POLL_GROWTH, POLL_LONGEST_S)


class Follower:
    """Reads what happens to one job, once each and in order.

    Args:
        transport: Where.
        job: Its id.
        after: The id of the last event that is known; empty for all.
    """

    def __init__(self, transport: Transport, job: str, after: str = "") -> None:
        self._transport, self._job, self._place = transport, job, after
        self._has_ended = False
        self._has_spoken = False
        """Whether anything came since it was asked last."""
        self._is_mute = False
        """Whether streams do not come through."""
        self._return_s = RETURN_S

    async def events(self) -> AsyncGenerator[JobEvent, None]:
        """The events until the job has ended.

        Raises:
            HeadraceError: There is no such job, or the server is away for too long.
        """
        clock = asyncio.get_running_loop().time
        pauses = self._transport.pauses()
        while not self._has_ended:
            began, self._has_spoken = clock(), False
            try:
                async with aclosing(self._page() if self._is_mute else self._stream()) as source:
                    async for event in source:
                        pauses.reset()
                        yield event
                error: HeadraceError = ServiceUnavailableError("the stream ended before the job")
                at_least = timedelta(seconds=random.uniform(0, self._return_s))  # noqa: S311
            except ServiceUnavailableError as broken:
                error, at_least = broken, timedelta()
            except Refused as refused:
                error = refused.refusal.error()
                if not refused.refusal.may_pass:
                    raise error from None
                at_least = refused.refusal.retry_after or timedelta()
            if self._has_ended:
                return
            if self._has_spoken and clock() - began > STEADY_S:
                pauses.reset()
            await pauses.wait(error, at_least=at_least or None)

    async def _stream(self) -> AsyncGenerator[JobEvent, None]:
        """The events of one stream; it may end before the job does."""
        import httpx2  # noqa: PLC0415 - 0.4 s

        headers = {"Accept": STREAM, "Cache-Control": "no-store"}
        if self._place:
            headers["Last-Event-ID"] = self._place
        try:
            async with self._transport.stream(self._call(headers)) as response:
                if response.status_code == OVER:
                    self._has_ended = True
                    return
                async for sent in httpx2.EventSource(response):
                    self._has_spoken = True
                    if sent.retry is not None:
                        self._return_s = min(sent.retry / 1_000, LONGEST_RETURN_S)
                    if sent.data and sent.event in NAMES:
                        yield self._take(sent.id, sent.event, sent.data)
                    if self._has_ended:
                        return
        except ServiceUnavailableError as error:
            # A server says something at once. Where nothing comes, something on the way holds
            # streams back: then pages are asked for.
            self._is_mute = not self._has_spoken and isinstance(error.__cause__, httpx2.ReadTimeout)
            raise

    async def _page(self) -> AsyncGenerator[JobEvent, None]:
        """The events so far, and a pause where there are no more yet."""
        pauses = PollPauses()
        while not self._has_ended:
            call = self._call({}, {"after": self._place or None, "limit": 1_000})
            answer = await self._transport.call(call)
            told = answer.json()
            try:
                items, has_more, has_ended = told["items"], told["has_more"], told["has_ended"]
            except (KeyError, TypeError) as error:
                raise self._foreign() from error
            self._has_spoken = True
            for one in items:
                yield self._take_event(answer.value(JobEvent, one))
            self._has_ended |= has_ended
            if not (has_more or self._has_ended):
                await pauses.wait()

    def _take(self, place: str, name: str, text: str) -> JobEvent:
        try:
            data = json.loads(text)
        except ValueError as error:
            raise self._foreign() from error
        return self._take_event(JobEvent(place, name, data))

    def _take_event(self, event: JobEvent) -> JobEvent:
        self._place = event.id or self._place
        self._has_ended = event.name == "result"
        return event

    def _foreign(self) -> ForeignAnswerError:
        found = "answered with something that is no event of a job"
        return ForeignAnswerError(self._transport.address.url, found)

    def _call(self, headers: dict[str, str], query: dict[str, object] | None = None) -> Call:
        return Call(
            method="GET",
            path=f"/v1/jobs/{self._job}/events",
            headers=headers,
            query=query or {},
            subject=Subject(job=self._job),
        )
