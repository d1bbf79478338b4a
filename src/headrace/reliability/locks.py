"""Locks in the database, for all processes: taken, waited for, renewed while held, given back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import secrets
from dataclasses import replace
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Final

from headrace.errors import (
    DatabaseUnavailableError,
    InvalidError,
    LockBusyError,
    LockLostError,
    LockNotFoundError,
)
from headrace.reliability.hub import CUT, POLL_S
from headrace.reliability.lock_keeping import Keeper
from headrace.reliability.lock_lease import Request
from headrace.reliability.lock_lines import Lines
from headrace.store import locks as rows
from headrace.store.audit import Action, record_action
from headrace.store.elapsed import clock_s
from headrace.store.locks import Claimant
from headrace.telemetry.events import emit
from headrace.telemetry.lock_events import LockAcquired, LockForced, LockRefused, LockReleased

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime
    from uuid import UUID

    from headrace.reliability.hub import Hub
    from headrace.reliability.lock_lease import Lease
    from headrace.reliability.lock_lines import Line
    from headrace.store.locks import HeldLock, Standing
    from headrace.store.pool import HeldConnection

KEY_MOST: Final = 512
"""Characters of a key."""
TTL: Final = timedelta(seconds=60)
TTL_LEAST, TTL_MOST = timedelta(seconds=1), timedelta(hours=1)
WAIT_MOST: Final = timedelta(hours=1)
LOOK_S: Final = 5.0
"""Who waits looks so often although nothing was rung: a ring can be lost with its connection."""
SOONEST_S: Final = 0.01
ANSWER_S: Final = 2.0
"""So long a refusal waits to learn who the holder is."""


class Locks:
    """The locks of a process, on one event loop at a time."""

    def __init__(
        self, connect: Callable[[], Awaitable[HeldConnection]], hub: Callable[[], Hub]
    ) -> None:
        """Nothing is connected before the first lock.

        Args:
            connect: Opens a connection.
            hub: Gives what tells of changes that other processes make.
        """
        self._connect, self._hub = connect, hub
        self._process = f"{platform.node()}:{os.getpid()}"
        self._loop: asyncio.AbstractEventLoop | None = None
        self._keeper: Keeper
        self._lines: Lines

    # --- what can be done with a lock -------------------------------------------------------------

    def request(
        self,
        key: str,
        *,
        tenant: str,
        ttl: float | timedelta = TTL,
        wait: float | timedelta = 0.0,
        reason: str | None = None,
        worker: int | None = None,
        job: UUID | None = None,
        step: str | None = None,
    ) -> Request:
        """What somebody asks for, checked.

        Raises:
            InvalidError: The key, the time or the wait is not accepted; says why.
        """
        check_key(key)
        claimant = Claimant(
            holder=self._holder(),
            worker=worker,
            job=job,
            step=step,
            reason=reason,
        )
        ttl = _between(ttl, TTL_LEAST, TTL_MOST, f"lock {key!r}: ttl")
        wait_s = _between(wait, timedelta(), WAIT_MOST, f"lock {key!r}: wait").total_seconds()
        return Request(tenant, key, claimant, ttl, wait_s)

    async def try_acquire(self, request: Request) -> Lease | None:
        """Take a lock if it is free now; it is renewed until it is released.

        Raises:
            DatabaseUnavailableError: No server answered.
        """
        lease, _ = await self._start().ask(request)
        return lease

    async def acquire(self, request: Request) -> Lease:
        """Take a lock, waiting as long as the request says; it is renewed until it is released.

        Those of this process who wait for a key get it in the order in which they came; there is no
        order among processes.

        Raises:
            LockBusyError: Somebody else held it all the time.
            DatabaseUnavailableError: No server answered.
        """
        began = monotonic()
        keeper = self._start()
        if request.wait_s:
            lease, standing = await self._wait(request, began)
        else:
            lease, standing = await keeper.ask(request)
        wait_ms = round(1_000 * (monotonic() - began), 3)
        if lease is None:
            raise _refusal(request, standing, wait_ms)
        worker, job = _bearers(request)
        emit(
            LockAcquired(
                tenant=request.tenant, key=request.key, token=lease.token, wait_latency_ms=wait_ms,
                worker_id=worker, job_id=job,
            )
        )  # fmt: skip
        return lease

    async def release(self, lease: Lease) -> bool:
        """Give a lock back, and wake one who waits; False where it was lost before.

        Where the database does not answer within 2 s it is done later.
        """
        request = lease.request
        worker, job = _bearers(request)
        held_ms = round(1_000 * (monotonic() - lease.granted_s), 3)
        emit(
            LockReleased(
                tenant=request.tenant, key=request.key, token=lease.token, hold_latency_ms=held_ms,
                worker_id=worker, job_id=job,
            )
        )  # fmt: skip
        return await self._start().release(lease)

    async def extend(self, lease: Lease, by: float | timedelta) -> datetime:
        """Add to what is left of a lease, up to an hour from now; when it ends then.

        Raises:
            LockLostError: It is over.
            InvalidError: `by` is not from 1 s to an hour.
        """
        more = _between(by, TTL_LEAST, TTL_MOST, f"lock {lease.request.key!r}: extend")
        sent_s = clock_s()
        found = None
        if not lease.is_lost:
            found = await self._start().send(lambda at: rows.extend_lock(at, lease.token, more))
        if found is None:
            lease.lose("taken_away")
            raise LockLostError(lease.request.key, lease.token)
        lease.extended(*found, sent_s)
        return found[0]

    async def get(self, key: str, *, tenant: str) -> HeldLock | None:
        """Who holds a lock; None where nobody does."""
        return await self._start().send(lambda at: rows.get_lock(at, tenant, key))

    async def list(
        self,
        *,
        tenant: str | None = None,
        prefix: str | None = None,
        after: tuple[str, str] = ("", ""),
        limit: int = rows.BATCH,
    ) -> list[HeldLock]:
        """Locks that are held, by tenant and key.

        Args:
            tenant: Of which tenant; None: of all.
            prefix: Only keys that begin so.
            after: Tenant and key of the last one of the page before.
            limit: Most of them.
        """
        return await self._start().send(
            lambda at: rows.list_locks(at, tenant=tenant, prefix=prefix, after=after, limit=limit)
        )

    async def force_release(
        self, key: str, *, tenant: str, actor: str, reason: str
    ) -> HeldLock | None:
        """Take a lock from its holder, who hears of it at the next renewal; who it was."""
        held = await self._start().send(
            lambda at: rows.force_release(at, tenant, key, actor=actor, reason=reason)
        )
        if held is not None:
            tell_forced(held, actor=actor, reason=reason)
        return held

    async def cleanup_expired(self) -> int:
        """End a hundred leases that are over, or whose worker is dead; how many there were."""
        return len(await self._start().send(rows.free_void_locks))

    # --- life -------------------------------------------------------------------------------------

    @property
    def held(self) -> int:
        """How many locks this process holds."""
        return 0 if self._loop is None else len(self._keeper.leases)

    def lose_all(self, worker: int) -> None:
        """A worker of this process is dead for the others: what it held is free."""
        for lease in [] if self._loop is None else [*self._keeper.leases.values()]:
            if lease.request.claimant.worker == worker:
                lease.lose("worker_lost")
                self._keeper.forget(lease)

    async def close(self) -> None:
        """Renew nothing more, and close the connection; a later lock opens another."""
        if self._loop is asyncio.get_running_loop():
            await self._keeper.close()
            self._loop = None

    def _holder(self) -> str:
        return f"{self._process} {secrets.token_hex(4)}"

    def _start(self) -> Keeper:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # an `asyncio.run` after another one
            self._loop = loop
            self._keeper, self._lines = Keeper(self._connect), Lines(self._hub())
        return self._keeper

    # --- waiting ----------------------------------------------------------------------------------

    async def _wait(self, request: Request, began: float) -> tuple[Lease | None, Standing | None]:
        """Stand in line, and take the lock when it is free."""
        last: Standing | None = None
        limit = asyncio.timeout(max(0.0, began + request.wait_s - monotonic()))
        try:
            async with limit, self._lines.turn(request.place) as line:
                while True:
                    line.bell.clear()
                    lease, last = await self._ask_patiently(request)
                    if lease is not None:
                        return lease, last
                    if not line.listen():  # else what was rung before was not heard
                        await self._rest(line, last)
        except TimeoutError:
            if not limit.expired():
                raise
        return None, last or await self._standing(request)

    async def _ask_patiently(self, request: Request) -> tuple[Lease | None, Standing | None]:
        """As `Keeper.ask`; while the database is away it says nothing."""
        # Each time by another name: what a lost answer granted is given back by the old one.
        claimant = replace(request.claimant, holder=self._holder())
        try:
            return await self._keeper.ask(replace(request, claimant=claimant))
        except CUT:
            return None, None

    async def _rest(self, line: Line, last: Standing | None) -> None:
        """Sleep until a ring, until the lease that is in the way ends, or until it is time."""
        pause_s = LOOK_S if self._hub().is_listening else POLL_S
        if last is None or last.is_free:
            pause_s = POLL_S  # nothing is rung when the transaction in the way ends
        else:
            pause_s = min(pause_s, max(SOONEST_S, last.left_s + SOONEST_S))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await line.bell.wait()

    async def _standing(self, request: Request) -> Standing | None:
        """Who is in the way of somebody whose turn did not come."""
        try:
            async with asyncio.timeout(ANSWER_S):
                held = await self.get(request.key, tenant=request.tenant)
        except TimeoutError as error:
            raise DatabaseUnavailableError("the database does not answer") from error
        if held is None:
            return None
        return rows.Standing(
            is_granted=False,
            token=held.token,
            who=held.who,
            expires_at=held.expires_at,
            left_s=held.left_s,
            is_free=False,
        )


def check_key(key: str) -> None:
    """Raise `InvalidError` for a key that no lock can have."""
    if not 1 <= len(key) <= KEY_MOST or "\0" in key:
        raise InvalidError(
            f"lock {key[:40]!r}: a key has 1 to {KEY_MOST} characters, none of them a NUL"
        )


async def take_away(
    connection: HeldConnection, key: str, *, tenant: str, actor: str, reason: str | None
) -> HeldLock:
    """Take a lock from its holder, tell of it, and keep in the audit who did it.

    Args:
        connection: Outside of a transaction.
        key: Which.
        tenant: Whose.
        actor: Who does it.
        reason: Why.

    Raises:
        LockNotFoundError: Nobody holds it.
    """
    async with connection.transaction():
        held = await rows.force_release(connection, tenant, key, actor=actor, reason=reason)
        if held is None:
            raise LockNotFoundError(key)
        before = {"token": held.token, "holder": held.who}
        done = Action(actor, "lock.release", f"{tenant}/{key}", reason, before=before)
        await record_action(connection, done)
    tell_forced(held, actor=actor, reason=reason)
    return held


def tell_forced(held: HeldLock, *, actor: str, reason: str | None) -> None:
    """Tell that an operator took a lock."""
    emit(
        LockForced(
            tenant=held.tenant, key=held.key, token=held.token, holder=held.who, actor=actor,
            reason=reason,
        )
    )  # fmt: skip


def _between(given: float | timedelta, least: timedelta, most: timedelta, what: str) -> timedelta:
    seconds = given.total_seconds() if isinstance(given, timedelta) else given
    if not least.total_seconds() <= seconds <= most.total_seconds():  # NaN is refused too
        raise InvalidError(
            f"{what} is {least.total_seconds():g} to {most.total_seconds():g} s, not {seconds:g}"
        )
    return timedelta(seconds=seconds)


def _bearers(request: Request) -> tuple[str | None, UUID | None]:
    worker = request.claimant.worker
    return None if worker is None else str(worker), request.claimant.job


def _refusal(request: Request, standing: Standing | None, wait_ms: float) -> LockBusyError:
    if standing is None:
        who, left_s = "somebody who took it just now", 0.0
    elif standing.is_free:
        who = f"a transaction that {standing.who} verified with it, or somebody taking it just now"
        left_s = 0.0
    else:
        who, left_s = standing.who, max(0.0, standing.left_s)
    worker, job = _bearers(request)
    emit(
        LockRefused(
            tenant=request.tenant, key=request.key, holder=who, wait_latency_ms=wait_ms,
            worker_id=worker, job_id=job,
        )
    )  # fmt: skip
    return LockBusyError(request.key, who, timedelta(seconds=left_s))
