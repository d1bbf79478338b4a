"""Rows of locks: taken, renewed, given back. Each function is one statement.

The database's clock alone decides what has expired; a lock of a worker that is not alive is void.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from headrace.store.sql import SQL
from headrace.store.workers import affected

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from headrace.store.pool import Connection

BATCH: Final = 100
PAGE: Final = 500
GRANTS_KEPT: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimant:
    """Who asks for a lock.

    Attributes:
        holder: Names the process, and by a random part this one request.
        worker: Whose death frees the lock; None where only time does.
        job: The job that asks, for people.
        step: Its step, for people.
        reason: What for, for people.
    """

    holder: str
    worker: int | None = None
    job: UUID | None = None
    step: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How a lock stands after somebody asked for it.

    Attributes:
        is_granted: Whether it is now the claimant's.
        token: That of the grant, or of the present or last holder.
        who: The holder, in words.
        expires_at: When the lease ends, unless it is renewed.
        left_s: Seconds until then.
        is_free: Whether nobody holds it, and yet it could not be taken: a transaction that it
            guards has not ended, or somebody else takes it just now.
    """

    is_granted: bool
    token: int
    who: str
    expires_at: datetime
    left_s: float
    is_free: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldLock:
    """A lock that is held.

    Attributes:
        tenant: Whose keys these are.
        key: Its name.
        token: Of the present grant.
        holder: The process that holds it, and a random part.
        worker: Its worker, whose death frees it.
        job: The job that holds it.
        step: The job's step.
        reason: What for.
        acquired_at: When it was granted.
        expires_at: When the lease ends, unless it is renewed.
        left_s: Seconds until then.
    """

    tenant: str
    key: str
    token: int
    holder: str
    worker: int | None
    job: UUID | None
    step: str | None
    reason: str | None
    acquired_at: datetime
    expires_at: datetime
    left_s: float

    @property
    def who(self) -> str:
        """The holder, in words."""
        return describe_holder(self.holder, self.worker, self.job, self.step)


class VoidLock(NamedTuple):
    """A lock that was just taken from a holder who is gone, or late."""

    tenant: str
    key: str
    token: int


async def acquire_lock(
    connection: Connection, tenant: str, key: str, *, lease: timedelta, claimant: Claimant
) -> Standing | None:
    """Take a lock if it may be taken; never waits for its holder.

    Returns:
        How it stands; None where somebody else took it, as its first holder, at the same moment.
    """
    row = await connection.fetchrow(
        SQL["locks.acquire_lock"],
        tenant,
        key,
        lease,
        claimant.holder,
        claimant.worker,
        claimant.job,
        claimant.step,
        claimant.reason,
    )
    if row is None:
        return None
    return Standing(
        row["is_granted"],
        row["token"],
        describe_holder(row["holder"], row["worker"], row["job"], row["step"]),
        row["expires_at"],
        row["left_s"],
        row["is_free"],
    )


async def renew_locks(
    connection: Connection, tokens: Sequence[int], leases: Sequence[timedelta]
) -> set[int]:
    """Extend leases from now on; the tokens of those that were still held."""
    rows = await connection.fetch(SQL["locks.renew_locks"], list(tokens), list(leases))
    return {row["token"] for row in rows}


async def extend_lock(
    connection: Connection, token: int, by: timedelta
) -> tuple[datetime, float] | None:
    """Add to a lease; when it ends and in how many seconds, None where it was not held."""
    row = await connection.fetchrow(SQL["locks.extend_lock"], token, by)
    return None if row is None else (row["expires_at"], row["left_s"])


async def release_lock(
    connection: Connection, tenant: str, key: str, *, token: int | None, holder: str
) -> bool:
    """Free a lock and ring; whether it was the holder's until now.

    Args:
        connection: Where.
        tenant: Whose.
        key: Which.
        token: Of the grant; None where it is not known whether there was one.
        holder: As it was asked for.
    """
    return bool(await connection.fetchval(SQL["locks.release_lock"], tenant, key, token, holder))


async def force_release(
    connection: Connection, tenant: str, key: str, *, actor: str, reason: str | None
) -> HeldLock | None:
    """Take a lock from its holder; who that was, None where nobody held it."""
    row = await connection.fetchrow(SQL["locks.force_release"], tenant, key, actor, reason)
    return None if row is None else HeldLock(**row)


async def free_void_locks(connection: Connection, *, limit: int = BATCH) -> list[VoidLock]:
    """End what has expired or whose worker is dead, and wake who waits; what was ended."""
    rows = await connection.fetch(SQL["locks.free_void_locks"], limit)
    return [VoidLock(**row) for row in rows]


async def get_lock(connection: Connection, tenant: str, key: str) -> HeldLock | None:
    """A lock that is held; None where it is not."""
    row = await connection.fetchrow(SQL["locks.get_lock"], tenant, key)
    return None if row is None else HeldLock(**row)


async def list_locks(
    connection: Connection,
    *,
    tenant: str | None = None,
    prefix: str | None = None,
    after: tuple[str, str] = ("", ""),
    limit: int = BATCH,
) -> list[HeldLock]:
    """Locks that are held, by tenant and key, from those after `after` on."""
    rows = await connection.fetch(SQL["locks.list_locks"], tenant, prefix, *after, limit)
    return [HeldLock(**row) for row in rows]


async def prune_locks(connection: Connection, *, limit: int = PAGE) -> int:
    """Delete some locks that nobody held for a day; returns how many."""
    return affected(await connection.execute(SQL["locks.prune_locks"], limit))


async def prune_grants(connection: Connection, *, limit: int = PAGE) -> int:
    """Delete some of what tells of grants over a week ago; returns how many."""
    async with connection.transaction():
        await connection.execute(SQL["retention.allow_deletion"])
        return affected(await connection.execute(SQL["locks.prune_grants"], GRANTS_KEPT, limit))


def describe_holder(holder: str, worker: int | None, job: UUID | None, step: str | None) -> str:
    """Who holds a lock, in words."""
    words = [] if worker is None else [f"worker {worker}"]
    if job is not None:
        words.append(f"job {job}" if step is None else f"job {job} step {step}")
    return f"{', '.join(words)} ({holder})" if words else holder
