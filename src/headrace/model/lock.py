"""A lock in the hands of its holder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from headrace.model.context import SqlValue


class Queryable(Protocol):
    """A transaction: that of a step, or of an asyncpg connection."""

    async def fetchval(self, query: str, /, *args: object) -> SqlValue:
        """One column of the first row of a query."""


class _Facts(Protocol):
    """What is known of a lock that was granted."""

    @property
    def key(self) -> str:
        """Which lock it is, among those of the tenant."""

    @property
    def token(self) -> int:
        """Higher than that of every earlier holder of the key.

        Hand it to what the lock guards, and let that refuse a lower one than it has seen.
        """

    @property
    def expires_at(self) -> datetime:
        """When the lease ends, as of its grant or its last `extend`; it is renewed before that."""

    @property
    def is_lost(self) -> bool:
        """Whether others may hold the lock by now: stop, and write nothing more."""


class Lock(_Facts, Protocol):
    """What `async with ctx.lock(...) as lock` gives. The block is cancelled when it is lost."""

    async def verify(self, transaction: Queryable) -> None:
        """Keep everybody else from taking the lock until this transaction has ended.

        What the transaction writes is then safe, also where the block ends before it does, or the
        process freezes in between.

        Args:
            transaction: A step's `Transaction`, or an asyncpg connection in one, on the database
                of the jobs.

        Raises:
            LockLostError: It is not held any more; let it out, so that nothing is committed.
        """

    async def extend(self, by: float | timedelta) -> datetime:
        """Add to what is left of the lease, once: for work that will block the event loop.

        Args:
            by: Seconds or a timedelta, 1 s to an hour; no lease ends later than an hour from now.

        Returns:
            When it ends then.

        Raises:
            LockLostError: It is over.
        """


class SyncLock(_Facts, Protocol):
    """What `with ctx.lock(...) as lock` gives; nothing stops a plain function: ask `is_lost`."""

    def check(self) -> None:
        """Go on only while the lock is held.

        Raises:
            LockLostError: Others may hold it by now.
        """

    def extend(self, by: float | timedelta) -> datetime:
        """As `Lock.extend`."""
