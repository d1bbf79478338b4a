"""Blocks that hold a lock: `async with` cancels what runs in it when the lock is lost.

Cancelling is done as `asyncio.timeout` does it: the block asks for one cancellation of its task and
takes it back at its end, so that blocks nest, and a cancel by others stays theirs.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from headrace.errors import InvalidError, LockLostError
from headrace.store.sql import SQL

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from datetime import datetime, timedelta
    from types import TracebackType

    from headrace.model.lock import Queryable
    from headrace.reliability.lock_lease import Lease, Request
    from headrace.reliability.locks import Locks

T = TypeVar("T")

LOOK_S: Final = 0.1
"""A thread that waits for a lock looks so often whether its step was cancelled."""


class _Block:
    """Fits what `headrace.Lock` and `headrace.SyncLock` have in common."""

    def __init__(self, locks: Locks, request: Request) -> None:
        self._locks, self._request = locks, request
        self._lease: Lease | None = None

    @property
    def key(self) -> str:
        """Which lock it is."""
        return self._request.key

    @property
    def token(self) -> int:
        """Higher than that of every earlier holder of the key."""
        return self._held().token

    @property
    def expires_at(self) -> datetime:
        """When the lease ends, as of its grant or its last `extend`."""
        return self._held().expires_at

    @property
    def is_lost(self) -> bool:
        """Whether others may hold the lock by now."""
        return self._held().is_lost

    def _held(self) -> Lease:
        if self._lease is None:
            raise InvalidError(f"lock {self.key!r}: use it inside its `with` block")
        return self._lease

    def _lost(self) -> LockLostError:
        return LockLostError(self.key, self._held().token)

    def _refuse_again(self) -> None:
        if self._lease is not None:
            raise InvalidError(f"lock {self.key!r}: a block is entered once; call lock() again")


class LockBlock(_Block):
    """Fits `headrace.Lock`: holds a lock inside an `async with` block.

    Leaving the block raises `LockLostError` where the lock was lost in it.
    """

    def __init__(self, locks: Locks, request: Request) -> None:
        """Nothing is asked for before the block."""
        super().__init__(locks, request)
        self._task: asyncio.Task[Any] | None = None
        self._cancels_before = 0
        self._has_cancelled = False

    async def __aenter__(self) -> Self:
        self._refuse_again()
        lease = await self._locks.acquire(self._request)
        self._lease = lease
        self._task = asyncio.current_task()
        self._cancels_before = 0 if self._task is None else self._task.cancelling()
        lease.on_lost = self._cancel
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        lease = self._held()
        lease.on_lost = None
        is_ours = self._take_back()
        was_held = await self._locks.release(lease)
        if kind is None:
            if not was_held:
                raise self._lost()
        elif is_ours and issubclass(kind, asyncio.CancelledError):
            raise self._lost() from error

    async def verify(self, transaction: Queryable) -> None:
        """As `headrace.Lock.verify`."""
        lease = self._held()
        if lease.is_lost:
            raise self._lost()
        if await transaction.fetchval(SQL["locks.verify_lock"], lease.token) is None:
            lease.on_lost = None  # the error says it
            lease.lose("taken_away")
            raise self._lost()

    async def extend(self, by: float | timedelta) -> datetime:
        """As `headrace.Lock.extend`."""
        return await self._locks.extend(self._held(), by)

    def _cancel(self) -> None:
        task = self._task
        if task is not None and task is not asyncio.current_task():
            self._has_cancelled = True
            task.cancel(f"the lock {self.key!r} was lost")

    def _take_back(self) -> bool:
        """Take our cancellation back; whether what ends the block is ours alone."""
        if not self._has_cancelled or self._task is None:
            return False
        return self._task.uncancel() <= self._cancels_before


class SyncLockBlock(_Block):
    """Fits `headrace.SyncLock`: holds a lock inside a `with` block of a thread.

    Leaving the block raises `LockLostError` where the lock was lost in it.
    """

    def __init__(
        self,
        locks: Locks,
        request: Request,
        loop: asyncio.AbstractEventLoop,
        is_cancelled: Callable[[], bool],
    ) -> None:
        """Nothing is asked for before the block.

        Args:
            locks: On `loop`.
            request: What is asked for.
            loop: The loop, which is not this thread's.
            is_cancelled: Whether to wait no longer.
        """
        super().__init__(locks, request)
        self._loop, self._is_cancelled = loop, is_cancelled

    def __enter__(self) -> Self:
        self._refuse_again()
        self._lease = self._wait(self._acquire())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        was_held = self._wait(self._locks.release(self._held()))
        if kind is None and not was_held:
            raise self._lost()

    def check(self) -> None:
        """As `headrace.SyncLock.check`."""
        if self.is_lost:
            raise self._lost()

    def extend(self, by: float | timedelta) -> datetime:
        """As `headrace.SyncLock.extend`."""
        return self._wait(self._locks.extend(self._held(), by))

    async def _acquire(self) -> Lease:
        """Wait for the lock, on the loop, unless the step is cancelled meanwhile."""
        asking = asyncio.create_task(self._locks.acquire(self._request))
        while not asking.done():
            await asyncio.wait({asking}, timeout=LOOK_S)
            if self._is_cancelled():
                asking.cancel()
        return asking.result()

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()
