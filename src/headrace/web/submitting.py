"""Submissions of many requests, committed in groups.

While one group commits, the next gathers: there is no timer, and a submission that comes to an idle
server is stored at once. A group holds jobs of one queue, of any tenants and pipelines. One that
the database refuses is split until the job is found that it refuses; the others are stored.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias
from uuid import UUID

from headrace.errors import HeadraceError, IdempotencyKeyReusedError, UnavailableError
from headrace.store.failures import is_retryable
from headrace.store.requests import (
    find_created,
    find_keyed,
    insert_jobs,
    insert_keyed,
)
from headrace.store.webhooks import add_job_webhooks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from headrace.app import Headrace
    from headrace.store.pool import HeldConnection
    from headrace.store.requests import KnownJob, NewJob

GROUP_MOST: Final = 500
ROOM: Final = 5_000
"""Submissions that may wait; more are told to come again."""
LANES: Final = 2
"""Groups that commit at the same time."""
Kind: TypeAlias = tuple[str, bool, bool, bool]
"""The queue, and whether there are idempotency keys, webhooks, and ordering or concurrency keys."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A job that is committed."""

    id: UUID
    created_at: datetime
    is_replay: bool
    """Whether the same request had stored it before."""


class Submissions:
    """Stores the jobs of concurrent requests.

    Args:
        app: Whose jobs they are.
        lanes: Groups that commit at the same time.
        room: Submissions that may wait.
    """

    def __init__(self, app: Headrace, *, lanes: int = LANES, room: int = ROOM) -> None:
        self._app, self._lanes, self._room = app, lanes, room
        self._storing = app.submitter.storing
        self._waiting: dict[Kind, deque[_Waiting]] = {}
        self._count = 0
        self._work = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to commit."""
        # Requests that read may wait for a connection in hundreds: no submission waits behind them.
        self._storing = self._app.submitter.storing.apart(self._lanes)
        self._tasks = [
            asyncio.create_task(self._run_lane(), name=f"headrace submissions {number}")
            for number in range(self._lanes)
        ]

    async def stop(self) -> None:
        """End the lanes; what waits then was not stored, and its callers are told so."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._storing.close()
        for waiting in self._waiting.values():
            for one in waiting:
                one.fail(UnavailableError("the server is shutting down"))
        self._waiting.clear()

    async def store(self, job: NewJob) -> Stored:
        """Store a job with the next group; it is committed when this returns.

        A caller that is cancelled takes nothing back: the job may be stored.

        Raises:
            IdempotencyKeyReusedError: Another request has its key.
            DatabaseUnavailableError: No server answered; the text says whether it may be stored.
            UnavailableError: Too many wait.
        """
        if self._count >= self._room:
            raise UnavailableError("too many submissions wait")
        one = _Waiting(job, asyncio.get_running_loop().create_future())
        shared = job.shared
        kind = (shared.queue, job.key is not None, job.webhook is not None, shared.is_keyed)
        waiting = self._waiting.get(kind)
        if waiting is None:
            waiting = self._waiting[kind] = deque()
        waiting.append(one)
        self._count += 1
        self._work.set()
        return await one.stored

    async def _run_lane(self) -> None:
        while True:
            await self._work.wait()
            group = self._take()
            if group:
                await self._commit(group)

    def _take(self) -> list[_Waiting]:
        """The next group; the kinds take turns."""
        for kind in list(self._waiting):
            waiting = self._waiting.pop(kind)
            size = min(len(waiting), GROUP_MOST)
            group = [waiting.popleft() for _ in range(size)]
            self._count -= size
            if waiting:
                self._waiting[kind] = waiting  # behind the others
            if not self._count:
                self._work.clear()
            return group
        self._work.clear()
        return []

    async def _commit(self, group: list[_Waiting]) -> None:
        try:
            if group[0].job.key is None:
                await self._store_plain(group)
            else:
                await self._store_keyed(group)
        except asyncio.CancelledError:
            for one in group:
                one.fail(UnavailableError("the server is shutting down; the job may be stored"))
            raise
        except Exception as error:  # noqa: BLE001 - told to each caller
            # A full disk, or a lock that nobody frees, is no job's fault: they all come again.
            if isinstance(error, HeadraceError) or is_retryable(error) or len(group) == 1:
                for one in group:
                    one.fail(error)
                return
            middle = len(group) // 2
            for half in (group[:middle], group[middle:]):
                await self._commit(half)

    async def _store_plain(self, group: list[_Waiting]) -> None:
        jobs = [one.job for one in group]
        ids = [job.id for job in jobs]

        async def write(connection: HeldConnection, ring: bool) -> datetime | None:  # noqa: FBT001
            if jobs[0].webhook is None:
                return await insert_jobs(connection, jobs, ring=ring)
            async with connection.transaction():
                created = await insert_jobs(connection, jobs, ring=ring)
                await _add_webhooks(connection, jobs)
            return created

        at = await self._storing.store(jobs[0].shared.queue, ids, write)
        if at is None:  # the reply was lost, and the jobs were found
            async with self._app.connection() as connection:
                at = await find_created(connection, ids)
        if at is None:
            raise UnavailableError("the jobs were removed meanwhile")
        for one in group:
            one.end(Stored(UUID(int=one.job.id.int), at, is_replay=False))

    async def _store_keyed(self, group: list[_Waiting]) -> None:
        # In one order everywhere: of two groups that want the same keys, one waits for the other.
        jobs = sorted((one.job for one in group), key=_order)

        async def write(
            connection: HeldConnection,
            ring: bool,  # noqa: FBT001
        ) -> dict[tuple[str, str, str], KnownJob]:
            found: dict[tuple[str, str, str], KnownJob] = {}
            left = jobs
            # More than once where a job was erased, or rolled back, between the two statements.
            while left:
                if jobs[0].webhook is None:
                    await insert_keyed(connection, left, ring=ring)
                else:
                    async with connection.transaction():
                        new = await insert_keyed(connection, left, ring=ring)
                        await _add_webhooks(connection, [job for job in left if str(job.id) in new])
                found.update(await find_keyed(connection, left))
                left = [job for job in left if _order(job) not in found]
            return found

        queue = jobs[0].shared.queue
        found = await self._storing.store(queue, (), write, jobs=len(jobs)) or {}
        for one in group:
            one.settle(found[_order(one.job)])


async def _add_webhooks(connection: HeldConnection, jobs: Sequence[NewJob]) -> None:
    """Store the webhooks of jobs, in the transaction that stores these."""
    await add_job_webhooks(
        connection, [(job.id, job.shared, job.webhook) for job in jobs if job.webhook is not None]
    )


def _order(job: NewJob) -> tuple[str, str, str]:
    return job.shared.tenant, job.shared.owner, job.key or ""


@dataclass(slots=True)
class _Waiting:
    job: NewJob
    stored: asyncio.Future[Stored]

    def end(self, stored: Stored) -> None:
        if not self.stored.done():  # its client may have left
            self.stored.set_result(stored)

    def fail(self, error: Exception) -> None:
        if not self.stored.done():
            self.stored.set_exception(error)

    def settle(self, known: KnownJob) -> None:
        """Tell whether the job that has the key is this one, the same one, or another."""
        job, found = self.job, UUID(int=known.id.int)  # the driver's own kind is no JSON
        if found.int == job.id.int:
            self.end(Stored(found, known.created_at, is_replay=False))
        elif known.hash == job.hash if known.hash is not None else _is_same(known, job):
            self.end(Stored(found, known.created_at, is_replay=True))
        else:
            self.fail(IdempotencyKeyReusedError(job.key or ""))


def _is_same(known: KnownJob, job: NewJob) -> bool:
    """Whether a job that came another way, as by the library, is what the request asks for."""
    return job.webhook is None and known.pipeline == job.pipeline and known.input == job.text
