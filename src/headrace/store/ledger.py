"""The ledger: running jobs of a worker share it, and it commits their writes in groups.

While one group commits, the next gathers: there is no timer, and an entry that comes to an idle
ledger is sent at once. Three kinds of groups keep the frequent ones to a single statement:
*finishes* (the last checkpoint of a job with its end), *checkpoints*, and *changes*, which can hold
everything and take a transaction of several statements.

Every group is fenced (see `groups`). An entry whose job's row is locked by another transaction goes
into a later group, one whose token moved on is reported stale to its own job only. A group that the
database refuses is split until the entry is found that it refuses; a group whose reply was lost is
read back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from headrace.store.entries import Committed, Entry, Outcome, Refused, Stale
from headrace.store.failpoints import hit
from headrace.store.failures import Backoff, is_retryable, is_unavailable
from headrace.store.groups import GroupConnection
from headrace.telemetry.events import emit
from headrace.telemetry.store_events import LedgerSplit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from headrace.store.pool import HeldConnection

GROUP_MOST: Final = 500
ROOM: Final = 5_000
TRIES: Final = 5
"""How often a group that may succeed is sent again before it is split."""
RETRY_PAUSE_S: Final = 0.5
CONTENDED_PAUSE_S: Final = 0.01
"""A row that another transaction holds is not asked for again at once."""


class Ledger:
    """Takes entries from the jobs of one worker and tells each its outcome.

    Args:
        connect: Opens a connection for the lanes to keep.
        worker: The worker in whose name rows are written.
        head_start_s: Seconds by which one point of priority moves a released job forward.
        most: Entries in a group, 1 to 5,000.
        room: Entries that may wait before `wait_for_room` holds its callers back.
        lanes: Connections that commit at the same time.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[HeldConnection]],
        *,
        worker: int,
        head_start_s: float = 60.0,
        most: int = GROUP_MOST,
        room: int = ROOM,
        lanes: int = 2,
    ) -> None:
        self._connect, self._worker, self._head_start_s = connect, worker, head_start_s
        self._most, self._room, self._lanes = most, room, lanes
        self._waiting: dict[str, deque[Entry]] = {
            kind: deque() for kind in ("finish", "checkpoint", "change")
        }
        self._count = 0
        self._sent = 0
        self._work = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def pending(self) -> int:
        """Entries whose outcome is not known yet."""
        return self._count + self._sent

    def start(self) -> None:
        """Begin to commit."""
        self._tasks = [
            asyncio.create_task(self._run_lane(number), name=f"ledger {number}")
            for number in range(self._lanes)
        ]

    async def stop(self) -> None:
        """End the lanes; what waits then is never written."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def flush(self) -> None:
        """Wait until every entry's outcome is known."""
        await self._idle.wait()

    async def wait_for_room(self) -> None:
        """Wait while too many entries wait."""
        await self._has_room.wait()

    def write(self, entry: Entry) -> None:
        """Take an entry. At most one entry of a job may be with the ledger at a time."""
        self._waiting[entry.kind].append(entry)
        self._count += 1
        if self._count == 1:
            self._idle.clear()
            self._work.set()
        if self._count >= self._room:
            self._has_room.clear()

    def drop_all(self) -> None:
        """Report every waiting entry stale: the worker is marked lost."""
        for waiting in self._waiting.values():
            while waiting:
                self._count -= 1
                _settle(waiting.popleft(), Stale())
        self._check_levels()

    # --- lanes ------------------------------------------------------------------------------------

    async def _run_lane(self, number: int) -> None:
        connection: GroupConnection | None = None
        backoff = Backoff()
        turn = number
        try:
            while True:
                await self._work.wait()
                if connection is None or connection.is_closed:
                    connection = await self._reconnect(backoff)
                turn += 1
                group, kind = self._take(turn)
                if group:
                    await self._commit(connection, kind, group)
                    self._check_levels()
        finally:
            if connection is not None:
                await connection.close()

    async def _reconnect(self, backoff: Backoff) -> GroupConnection:
        while True:
            try:
                connection = await self._open()
            except Exception:  # noqa: BLE001 - whatever it is, the results must be kept
                await asyncio.sleep(backoff.next_s())
            else:
                backoff.reset()
                return connection

    async def _open(self) -> GroupConnection:
        connection = GroupConnection(await self._connect(), self._worker, self._head_start_s)
        try:
            await connection.prepare()
        except BaseException:  # a lane that ends meanwhile leaves nothing open, either
            await connection.close()
            raise
        return connection

    def _take(self, turn: int) -> tuple[list[Entry], str]:
        """The next group: the kinds in turn, so that none waits for another's flood."""
        kinds = tuple(self._waiting)
        for offset in range(len(kinds)):
            kind = kinds[(turn + offset) % len(kinds)]
            waiting = self._waiting[kind]
            if waiting:
                size = min(len(waiting), self._most)
                group = [waiting.popleft() for _ in range(size)]
                self._count -= size
                self._sent += size
                if not self._count:
                    self._work.clear()
                if self._count < self._room:
                    self._has_room.set()
                return group, kind
        self._work.clear()
        return [], ""

    def _check_levels(self) -> None:
        if not self._count and not self._sent:
            self._idle.set()
        if self._count < self._room:
            self._has_room.set()

    # --- one group --------------------------------------------------------------------------------

    async def _commit(self, connection: GroupConnection, kind: str, group: list[Entry]) -> None:
        hit(f"ledger.{kind}.before")
        for attempt in range(TRIES):
            try:
                stored = await connection.write(kind, group)
            except Exception as error:  # noqa: BLE001 - sorted below, nothing is swallowed
                if is_unavailable(error):
                    await connection.close()
                    self._doubt(group)
                    return
                if is_retryable(error) and attempt < TRIES - 1:
                    await asyncio.sleep(CONTENDED_PAUSE_S * (attempt + 1))
                    continue
                if is_retryable(error) and len(group) == 1:
                    self._doubt(group)  # a full disk is no entry's fault: it waits
                    await asyncio.sleep(RETRY_PAUSE_S)
                    return
                await self._split(connection, kind, group, error)
                return
            break
        hit(f"ledger.{kind}.after_commit")
        if len(stored) == len(group):
            self._sent -= len(group)
            for entry in group:
                entry.writer.settled(entry, Committed(stored[entry.job]))
            return
        for entry in group:
            if entry.job in stored:
                self._sent -= 1
                entry.writer.settled(entry, Committed(stored[entry.job]))
        await self._look_up(connection, [entry for entry in group if entry.job not in stored])

    async def _split(
        self, connection: GroupConnection, kind: str, group: list[Entry], error: Exception
    ) -> None:
        if len(group) == 1:
            self._sent -= 1
            _settle(group[0], Refused(error))
            return
        emit(LedgerSplit(records=len(group), error=f"{type(error).__name__}: {error}"))
        middle = len(group) // 2
        for half in (group[:middle], group[middle:]):
            await self._commit(connection, kind, half)

    def _doubt(self, group: list[Entry]) -> None:
        """Nobody knows whether the group was committed: it is asked before it is sent again."""
        for entry in reversed(group):
            entry.bare = False
            self._sent -= 1
            self._count += 1
            self._waiting["change"].appendleft(entry)
        self._work.set()

    async def _look_up(self, connection: GroupConnection, entries: list[Entry]) -> None:
        """Find out why the fence let entries pass by: contended, moved by us, or stale."""
        try:
            fates = await connection.read_back(entries)
        except Exception as error:  # noqa: BLE001 - asked again with the next group
            if is_unavailable(error):
                await connection.close()
            self._doubt(entries)
            await asyncio.sleep(CONTENDED_PAUSE_S)
            return
        contended = False
        for entry in entries:
            held, moved = fates[entry.job]
            self._sent -= 1
            if held:
                contended = True
                self._count += 1
                entry.bare = False
                self._waiting["change"].append(entry)
                self._work.set()
            elif moved is not None and entry.move is not None:
                _settle(entry, Committed(moved))
            else:
                _settle(entry, Stale())
        if contended:
            await asyncio.sleep(CONTENDED_PAUSE_S)


def _settle(entry: Entry, outcome: Outcome) -> None:
    entry.writer.settled(entry, outcome)
