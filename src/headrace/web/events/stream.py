"""One event stream: Server-Sent Events to one client."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from headrace.errors import DatabaseUnavailableError
from headrace.web.events.hub import StreamEndedError
from headrace.web.events.telling import tell, tell_result

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg
    from starlette.types import Receive, Scope, Send

    from headrace.web.auth.identity import Identity
    from headrace.web.events.hub import Watch
    from headrace.web.state import Service

MEDIA_TYPE: Final = "text/event-stream"
CHUNK: Final = 16 * 1024
"""Bytes that are written at once, or one event."""
LAST_WORD_S: Final = 1.0
"""For a client that does not read, in which it may still learn why its stream ends."""
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Vary": "Accept",
    "X-Accel-Buffering": "no",  # else proxies of that kind hold events back
}


class EventStream(Response):
    """Answers with the events of a job as they happen, until it has ended.

    A client that reads slowly holds up nobody: nothing is read for it meanwhile, and at most one
    page of its events is in memory.

    Args:
        service: The parts of the HTTP room.
        identity: The caller.
        watch: The job, and where to begin.
    """

    def __init__(self, service: Service, identity: Identity, watch: Watch) -> None:
        super().__init__(headers=HEADERS, media_type=MEDIA_TYPE)
        del self.headers["content-length"]
        self._service, self._hub = service, service.hub
        self._identity, self._watch = identity, watch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send events until the end."""
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        leaving = asyncio.create_task(_left(receive))
        leaving.add_done_callback(lambda _: self._hub.leave(self._watch))
        try:
            with self._hub.opened(self._watch):
                last_word = await self._follow(send)
        finally:
            leaving.cancel()
        try:
            async with asyncio.timeout(LAST_WORD_S):
                await send({"type": "http.response.body", "body": last_word, "more_body": False})
        except TimeoutError:
            pass  # the server closes the connection

    async def _follow(self, send: Send) -> bytes:
        """Send events; what to say at the end."""
        try:
            async with asyncio.timeout(self._hub.pace.life):
                await _write(send, b"retry: %d\n\n" % (1_000 * self._hub.pace.retry))
                while not await self._tell_more(send):
                    pass
        except TimeoutError:
            return b": to be continued\n\n"
        except StreamEndedError as error:
            return b": %b\n\n" % str(error).encode()
        except DatabaseUnavailableError:
            return b": the database does not answer\n\n"
        return b""

    async def _tell_more(self, send: Send) -> bool:
        """Send what comes next, be it a sign of life; whether it was the last."""
        watch = self._watch
        rows = await self._hub.next(watch, within=self._hub.pace.heartbeat)
        if watch.is_gone:
            return True
        if not rows:
            await _write(send, b": here\n\n")
            return False
        return await self._tell(send, rows)

    async def _tell(self, send: Send, rows: Sequence[asyncpg.Record]) -> bool:
        watch, has_ended = self._watch, False
        chunk: list[bytes] = []
        for row in rows:
            place = watch.place.after(row)
            if row["kind"] == "result":
                frame = await self._result(row)
                has_ended = frame is not None
            else:
                frame = tell(row, place).frame()
            watch.place = place
            if frame is not None:
                chunk.append(frame)
            if sum(map(len, chunk)) >= CHUNK:
                await _write(send, *chunk)
                chunk.clear()
        await _write(send, *chunk)
        return has_ended

    async def _result(self, row: asyncpg.Record) -> bytes | None:
        watch, service = self._watch, self._service
        async with service.wall.reading(self._identity) as connection:
            told = await tell_result(
                connection, watch.job, row, watch.place.after(row), service.app.pipelines
            )
        return None if told is None else told.frame()


async def _write(send: Send, *parts: bytes) -> None:
    if parts:
        body = b"".join(parts)
        await send({"type": "http.response.body", "body": body, "more_body": True})


async def _left(receive: Receive) -> None:
    """Return when the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
