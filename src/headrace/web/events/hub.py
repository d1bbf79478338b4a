"""Reads for all event streams of a process, on one connection (docs/adr/0011-live-events.md).

Nothing is announced when a job moves on, since that would cost every job. The hub looks: one
statement for all streams that wait. A stream that is busy with a slow client does not wait, so
nothing is read for it, and nothing piles up.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import asyncpg

from headrace.errors import DatabaseUnavailableError
from headrace.store.failures import Backoff, is_retryable, is_unavailable
from headrace.store.following import Follower, read_next
from headrace.store.session import ENGINE_SETTINGS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from headrace.app import Headrace
    from headrace.store.pool import HeldConnection

CANCEL_CHANNEL: Final = "headrace_cancel"
"""What asks workers to cancel a job names it: the one hint that costs nobody anything."""
TICK_S: Final = 0.05
"""Streams that are due within so short a time share a statement."""
REST: Final = 4
"""The connection rests so many times as long as it worked: a fifth of a processor at most."""
PART: Final = 250
"""Most streams of one statement."""
ROWS: Final = 20_000
"""About how many rows one statement may bring."""
PAGE_MOST: Final = 1_000
LONG_S: Final = 1.0
"""A statement that takes longer is for fewer streams the next time."""
LINGER_S: Final = 10.0
"""The connection is closed when no stream has been open for so long."""
CUT: Final = (OSError, asyncpg.InterfaceError)
"""What the driver raises for a connection that is gone, beside the server's own words."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The durations of streams, in seconds; tests have shorter ones."""

    soonest: float = 0.1
    """From something new to the next look at the same job."""
    latest: float = 0.5
    """Between two looks at a job of which nothing new comes; the pause doubles up to it."""
    heartbeat: float = 15.0
    """Of silence, after which a comment shows that the stream lives."""
    life: float = 300.0
    """Of a stream; its client comes back for the rest."""
    outage: float = 5.0
    """For which the database may be away before the streams end."""
    retry: float = 2.0
    """After which clients whose stream ended come back."""


class StreamEndedError(Exception):
    """The stream ends for a reason that is not the job's; its text is told to the client."""


@dataclass(slots=True, eq=False)
class Watch(Follower):
    """An open stream, as the hub sees it."""

    due_at: float = 0.0
    pause: float = 0.0
    is_gone: bool = False
    """Whether its client has left."""


class Hub:
    """Tells streams what is new. It connects for the first stream.

    Args:
        app: Whose jobs.
        pace: Other durations than the usual ones.
    """

    def __init__(self, app: Headrace, *, pace: Pace | None = None) -> None:
        self._app = app
        self.pace = pace or Pace()
        self._open: set[Watch] = set()
        self._waiting: dict[Watch, asyncio.Future[Sequence[asyncpg.Record]]] = {}
        self._bell = asyncio.Event()
        self._feeding: asyncio.Task[None] | None = None
        self._closing = False
        self._part = PART
        self._backoff = Backoff()
        self._lost_at: float | None = None

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return len(self._open)

    @contextlib.contextmanager
    def opened(self, watch: Watch) -> Iterator[None]:
        """Count a stream inside a `with` block."""
        self._open.add(watch)
        try:
            yield
        finally:
            self._open.discard(watch)

    async def next(self, watch: Watch, *, within: float) -> Sequence[asyncpg.Record]:
        """What happened after a stream's place, as `read_next` gives it; the place stays.

        Args:
            watch: The stream.
            within: Seconds after which it is nothing; also when its client leaves.

        Raises:
            StreamEndedError: The database does not answer, or the server stops.
        """
        if self._closing:
            raise StreamEndedError("the server stops")
        if watch.is_gone:
            return ()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Sequence[asyncpg.Record]] = loop.create_future()
        self._waiting[watch] = answer
        timer = loop.call_later(within, self._answer, watch)
        self._bell.set()
        if self._feeding is None or self._feeding.done():
            self._feeding = loop.create_task(self._feed(), name="headrace events")
        try:
            return await answer
        finally:
            timer.cancel()
            self._waiting.pop(watch, None)

    def leave(self, watch: Watch) -> None:
        """The client of a stream is gone."""
        watch.is_gone = True
        self._answer(watch)

    def end_streams(self) -> None:
        """End all streams, also those that still come: the server stops."""
        self._closing = True
        self._end_waiting("the server stops")

    async def close(self) -> None:
        """End all streams, and close the connection."""
        self.end_streams()
        if self._feeding is not None:
            self._feeding.cancel()
            await asyncio.gather(self._feeding, return_exceptions=True)

    # --- reading ----------------------------------------------------------------------------------

    async def _feed(self) -> None:
        """Look for those who wait, until nobody has for a while."""
        try:
            while not await self._serve():
                pass
        finally:
            self._end_waiting("an error on our side")  # nobody waits where there was none

    async def _serve(self) -> bool:
        """Look as long as the database answers; whether nobody waits any more."""
        try:
            async with self._line() as connection:
                while await self._is_wanted():
                    await self._look(connection)
                    self._lost_at = None
                    self._backoff.reset()
        except (DatabaseUnavailableError, asyncpg.PostgresError, *CUT) as error:
            if not _passes(error):
                raise
            return await self._wait_for_database()
        return True

    async def _wait_for_database(self) -> bool:
        """Pause after a failure; whether the streams were ended because it lasts."""
        now = asyncio.get_running_loop().time()
        self._part = max(1, self._part // 2)  # it may have been too long a statement
        self._lost_at = self._lost_at or now
        if now - self._lost_at >= self.pace.outage:
            self._lost_at = None
            self._end_waiting("the database does not answer")
            return True
        await asyncio.sleep(self._backoff.next_s())
        return False

    @contextlib.asynccontextmanager
    async def _line(self) -> AsyncIterator[HeldConnection]:
        connection = await self._app.connect("events", settings=ENGINE_SETTINGS)
        try:
            if self._app.settings.doorbell == "listen":
                await connection.add_listener(CANCEL_CHANNEL, self._hear)
            yield connection
        finally:
            connection.terminate()

    async def _is_wanted(self) -> bool:
        if not self._waiting:
            await self._rest(LINGER_S)
        return bool(self._waiting)

    async def _rest(self, seconds: float) -> None:
        """Sleep, but not past the next stream that asks."""
        self._bell.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._bell.wait()

    async def _look(self, connection: HeldConnection) -> None:
        """Read once for all who are due; then give way."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        due = [watch for watch in self._waiting if watch.due_at <= began + TICK_S]
        if not due:
            await self._rest(min(watch.due_at for watch in self._waiting) - began)
            return
        while due:
            part, due = due[: self._part], due[self._part :]
            await self._read(connection, part)
        await asyncio.sleep(max(TICK_S, REST * (loop.time() - began)))

    async def _read(self, connection: HeldConnection, part: Sequence[Watch]) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        most = min(PAGE_MOST, ROWS // len(part))
        found = await read_next(connection, part, most=most)
        now = loop.time()
        for number, watch in enumerate(part):
            self._deal(watch, found.get(number, ()), now, full=most)
        if now - began > LONG_S:
            self._part = max(1, self._part // 2)
        else:
            self._part = min(PART, self._part + 1)

    def _deal(self, watch: Watch, rows: Sequence[asyncpg.Record], now: float, *, full: int) -> None:
        pace = self.pace
        if rows:
            watch.pause = pace.soonest
            watch.due_at = now if len(rows) == full else now + watch.pause
            self._answer(watch, rows)
        else:
            watch.pause = min(max(2 * watch.pause, pace.soonest), pace.latest)
            watch.due_at = now + watch.pause

    def _hear(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        """A running job is asked to stop: something will happen to it."""
        job = str(payload).rpartition(" ")[2]
        for watch in self._waiting:
            if str(watch.job) == job:
                watch.due_at = watch.pause = 0.0
                self._bell.set()

    def _answer(self, watch: Watch, rows: Sequence[asyncpg.Record] = ()) -> None:
        answer = self._waiting.pop(watch, None)
        if answer is not None and not answer.done():
            answer.set_result(rows)

    def _end_waiting(self, reason: str) -> None:
        while self._waiting:
            _, answer = self._waiting.popitem()
            if not answer.done():
                answer.set_exception(StreamEndedError(reason))


def _passes(error: Exception) -> bool:
    if isinstance(error, DatabaseUnavailableError):
        return True
    return is_unavailable(error) or is_retryable(error)
