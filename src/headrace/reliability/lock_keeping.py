"""Keeps the locks that a process holds: renews them, and gives them back whatever happens.

All statements go over one connection of its own, one after the other, so that steps which use up
the others cannot make the process lose its locks. None of them waits for a holder.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final, TypeVar

from headrace.reliability.hub import CUT
from headrace.reliability.lock_lease import Lease
from headrace.store.elapsed import clock_s
from headrace.store.failures import Backoff
from headrace.store.locks import acquire_lock, release_lock, renew_locks
from headrace.store.session import Session

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from headrace.reliability.lock_lease import Request
    from headrace.store.locks import Standing
    from headrace.store.pool import HeldConnection

T = TypeVar("T")

CLOSE_WAIT_S: Final = 2.0
RELEASE_WAIT_S: Final = 2.0
"""So long the end of a block waits for its release; after that it is made in the background."""


class Keeper:
    """The leases of a process on one event loop."""

    def __init__(self, connect: Callable[[], Awaitable[HeldConnection]]) -> None:
        """Nothing is connected before the first lock."""
        self._session = Session(connect)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._renewing: asyncio.Task[None] | None = None
        self._due = asyncio.Event()
        self.leases: dict[int, Lease] = {}
        """What is held, by token."""

    async def send(self, work: Callable[[HeldConnection], Awaitable[T]]) -> T:
        """Do something on the connection, when it is free.

        Raises:
            DatabaseUnavailableError: No server answered.
        """
        async with self._session.use() as connection:
            return await work(connection)

    async def ask(self, request: Request) -> tuple[Lease | None, Standing | None]:
        """Take a lock if that is possible now; how it stands.

        A lock that was granted to a caller who is gone by then, or whose answer was lost, is given
        back.
        """
        sent_s = clock_s()
        asking = self._start(
            self.send(
                lambda at: acquire_lock(
                    at, *request.place, lease=request.ttl, claimant=request.claimant
                )
            )
        )
        try:
            standing = await asyncio.shield(asking)
        except BaseException:
            self._leave(self._undo(request, asking))
            raise
        if standing is None or not standing.is_granted:
            return None, standing
        lease = Lease.of(request, standing, sent_s)
        self.leases[lease.token] = lease
        self._due.set()
        if self._renewing is None or self._renewing.done():
            self._renewing = self._start(self._renew_all())
        return lease, standing

    async def release(self, lease: Lease) -> bool:
        """Give a lock back; False where it was lost before.

        Where the database does not answer it is done later, and what this machine's clock says
        counts.
        """
        was_lost = lease.is_lost
        self.forget(lease)
        work = self._start(self._give_back(lease.request, lease.token))
        if was_lost:
            return False
        done, _ = await asyncio.wait({work}, timeout=RELEASE_WAIT_S)
        return not done or work.result() is not False

    def forget(self, lease: Lease) -> None:
        """Renew a lease no more."""
        lease.end_timer()
        if lease.lost_by is None:
            lease.is_over = True
        self.leases.pop(lease.token, None)

    async def close(self) -> None:
        """End what is under way, and close the connection: what is still held counts as lost."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)
        tasks = set(self._tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_WAIT_S)
        for lease in list(self.leases.values()):
            lease.lose("closed")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._session.close()

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Do something that goes on when its caller is cut off."""
        task = asyncio.get_running_loop().create_task(work, name="headrace locks")
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def _leave(self, work: Coroutine[Any, Any, bool | None]) -> None:
        """As `_start`, for what nobody waits for."""
        self._start(work)  # type: ignore[unused-awaitable]

    def _over(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # nobody may be left to whom it could be told

    # --- giving back ------------------------------------------------------------------------------

    async def _undo(self, request: Request, asking: asyncio.Task[Standing | None]) -> bool | None:
        await asyncio.wait({asking})
        if not asking.cancelled() and asking.exception() is None:
            standing = asking.result()
            if standing is None or not standing.is_granted:
                return None
        return await self._give_back(request, None)

    async def _give_back(self, request: Request, token: int | None) -> bool | None:
        """Release a lock, insisting until its lease is over; None where no server answered."""
        until_s = clock_s() + request.ttl.total_seconds()
        backoff, holder = Backoff(), request.claimant.holder
        while clock_s() < until_s:
            with contextlib.suppress(*CUT):
                return await self.send(
                    lambda at: release_lock(at, *request.place, token=token, holder=holder)
                )
            await asyncio.sleep(backoff.next_s())
        return None

    # --- renewing ---------------------------------------------------------------------------------

    async def _renew_all(self) -> None:
        """Renew what is held, until nothing is."""
        backoff = Backoff()
        while self.leases:
            self._due.clear()
            now = clock_s()
            due = [lease for lease in self.leases.values() if lease.renew_at_s <= now]
            if due:
                await self._renew(due, backoff)
            for lease in [lease for lease in self.leases.values() if lease.lost_by is not None]:
                self.forget(lease)
            next_s = min((lease.renew_at_s for lease in self.leases.values()), default=now)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, next_s - clock_s())):
                    await self._due.wait()

    async def _renew(self, due: list[Lease], backoff: Backoff) -> None:
        sent_s = clock_s()
        tokens, ttls = [lease.token for lease in due], [lease.request.ttl for lease in due]
        try:
            kept = await self.send(lambda at: renew_locks(at, tokens, ttls))
        except CUT:
            for lease in due:
                lease.renew_at_s = clock_s() + backoff.next_s()
            return
        backoff.reset()
        for lease in due:
            if lease.token in kept:
                lease.renewed(sent_s)
            else:
                lease.lose("taken_away")
