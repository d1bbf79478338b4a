"""What an app has for code outside of steps that uses what all processes share."""

from __future__ import annotations

import asyncio
import contextlib
from functools import cached_property
from typing import TYPE_CHECKING

from headrace.reliability.hub import Hub
from headrace.reliability.lock_blocks import LockBlock
from headrace.reliability.locks import TTL, Locks
from headrace.reliability.outside import OutsideIdempotent, OutsideOperations
from headrace.reliability.surroundings import Somewhere, Surroundings, placed
from headrace.store.session import ENGINE_SETTINGS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager
    from datetime import timedelta

    from headrace.model import context
    from headrace.model.lock import Lock
    from headrace.store.breakers import Rules
    from headrace.store.pool import HeldConnection, Pool


class Shared:
    """A part of `Headrace`: hub, locks, and the place of breakers, limits and budgets."""

    async def connect(
        self, purpose: str, *, settings: dict[str, str] | None = None
    ) -> HeldConnection:
        """Open a connection of the caller's own to the database itself."""
        raise NotImplementedError

    async def _open_pool(self) -> Pool:
        raise NotImplementedError

    def _breaker_rules(self) -> Rules:
        raise NotImplementedError

    @cached_property
    def hub(self) -> Hub:
        """Tells those of this process who wait of changes that other processes make."""
        return Hub(lambda: self.connect("changes"))

    @cached_property
    def locks(self) -> Locks:
        """All that can be done with locks, one by one: for operators, and for code of one's own.

        For holding one while something is done, `lock` is better.
        """
        return Locks(lambda: self.connect("locks", settings=ENGINE_SETTINGS), lambda: self.hub)

    def lock(
        self,
        key: str,
        *,
        tenant: str = "default",
        wait: float | timedelta = 0.0,
        ttl: float | timedelta = TTL,
        reason: str | None = None,
    ) -> AbstractAsyncContextManager[Lock]:
        """Hold a lock of a tenant inside an `async with` block; in steps: `ctx.lock`.

        Outside of a worker nobody notices a death but by time: the lock of a process that is killed
        is free when its lease is over. See `StepContext.lock` for all else.

        Args:
            key: 1 to 512 characters, as `repo:42`.
            tenant: Whose key.
            wait: Seconds, or a timedelta, to wait for the present holder: up to an hour.
            ttl: The lease, 1 s to an hour; renewed when a third of it is over, while the block
                lasts.
            reason: What for, for people who ask who holds it.

        Raises:
            InvalidError: The key, the wait or the lease is not accepted.
            LockBusyError: On entering: another one holds it, and did so for `wait`.
            LockLostError: On leaving: it was lost in the block.
            DatabaseUnavailableError: On entering: no server answered.
        """
        request = self.locks.request(key, tenant=tenant, wait=wait, ttl=ttl, reason=reason)
        return LockBlock(self.locks, request)

    @contextlib.asynccontextmanager
    async def primitives(
        self, *, tenant: str = "default", owner: str = "default"
    ) -> AsyncIterator[None]:
        """Let breakers, limits and budgets be used outside of steps, inside an `async with` block.

        What is deferred in a step raises here; nothing is bound to the life of a worker.

        Args:
            tenant: For whom.
            owner: The user inside the tenant.

        Raises:
            DatabaseUnavailableError: No server answered.
        """
        pool = await self._open_pool()
        around = Surroundings(
            pool,
            asyncio.get_running_loop(),
            self.hub,
            tenant=tenant,
            owner=owner,
            breaker_rules=self._breaker_rules(),
        )
        with placed(Somewhere(around)):
            yield

    @property
    def idempotent(self) -> context.OutsideIdempotent:
        """`await app.idempotent(key, fn, *args)` calls `fn` once for a tenant and a key.

        As `StepContext.idempotent`, outside of steps, and for the same keys: what a job did is not
        done again here, and the other way round. Without a worker nobody notices a death but by
        time: after 5 minutes of silence another one takes over. Outputs take 1 MiB at most, and
        there are no transactions. `with_options(tenant=..., keep=..., wait=...)` changes how it is
        done.

        Raises, when called:
            OperationInProgressError: Another one carries the operation out.
            IdempotencyKeyReusedError: The key was used with another function or other arguments.
            PermanentError: As `fn` failed when it was called, here or before.
            DefinitionError: An annotation of `fn` is missing, or names what cannot be stored.
            DatabaseUnavailableError: No server answered.
        """
        return OutsideIdempotent(self._operations.get)

    @cached_property
    def _operations(self) -> OutsideOperations:
        return OutsideOperations(self._open_pool, lambda: self.hub)

    async def _close_shared(self) -> None:
        if "_operations" in self.__dict__:
            await self._operations.close()
        if "locks" in self.__dict__:
            await self.locks.close()
        if "hub" in self.__dict__:
            await self.hub.close()
