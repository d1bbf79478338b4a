"""Storing jobs: one statement for one job, portions of 250 in a transaction for many."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from headrace.store.keyed import insert_with_keys
from headrace.store.sql import SQL

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime, timedelta
    from typing import TypeAlias

    from uuid_utils import UUID

    from headrace.store.callers import Caller
    from headrace.store.pool import HeldConnection

    Portion: TypeAlias = tuple[Sequence[UUID], Sequence[str], bool]
    """Ids, encoded inputs, and whether it is the last one."""

PORTION: Final = 250
"""Jobs in a statement: the next portion is encoded while the server stores one."""


@dataclass(slots=True)
class Shared:
    """What the jobs of one call have in common."""

    lane: int
    queue: str
    tenant: str
    owner: str
    priority: int
    due_at: datetime | None
    head_start: timedelta
    deadline: datetime | None = None
    preset: str | None = None
    parameters: str | None = None
    metadata: str | None = None
    correlation_id: str | None = None
    parent_job: object | None = None
    actor: str | None = None
    ordering_key: str | None = None
    concurrency_key: str | None = None

    @property
    def is_keyed(self) -> bool:
        """Whether the jobs go to the keyed twin of their lane."""
        return self.ordering_key is not None or self.concurrency_key is not None

    def arguments(self, *, ring: bool) -> tuple[Any, ...]:
        """From the third argument of the statements on."""
        return (
            self.lane,
            self.tenant,
            self.owner,
            self.priority,
            self.due_at,
            self.head_start,
            self.deadline,
            self.preset,
            self.parameters,
            self.metadata,
            self.correlation_id,
            self.parent_job,
            self.actor,
            self.queue if ring else None,
        )


@dataclass(frozen=True, slots=True)
class KeyOwner:
    """The job that has an idempotency key."""

    job: UUID
    pipeline: str
    input: str


async def insert_one(
    connection: HeldConnection | Caller, job: UUID, text: str, shared: Shared, *, ring: bool
) -> None:
    """Store one job in one round trip."""
    if shared.is_keyed:
        await insert_with_keys(connection, [job], [text], shared, ring=ring)
        return
    await connection.fetch(SQL["submit.insert_job"], job, text, *shared.arguments(ring=ring))


async def insert_many(
    connection: HeldConnection, portions: Iterable[Portion], shared: Shared, *, ring: bool
) -> None:
    """Store portions of jobs in one transaction: all of them, or none.

    The next portion is asked for while the server stores the one before.
    """
    sent: asyncio.Task[Any] | None = None
    async with connection.transaction():
        try:
            for ids, texts, is_last in portions:
                if sent is not None:
                    await sent
                sent = asyncio.ensure_future(
                    insert_portion(connection, ids, texts, shared, ring=ring and is_last)
                )
                await asyncio.sleep(0)  # so that it is sent before the next portion is encoded
            if sent is not None:
                await sent
        except BaseException:
            if sent is not None:
                sent.cancel()
                await asyncio.gather(sent, return_exceptions=True)
            raise


async def insert_portion(
    connection: HeldConnection | Caller,
    ids: Sequence[UUID],
    texts: Sequence[str],
    shared: Shared,
    *,
    ring: bool,
) -> None:
    """Store jobs in one statement."""
    if shared.is_keyed:
        await insert_with_keys(connection, ids, texts, shared, ring=ring)
        return
    await connection.fetch(SQL["submit.insert_jobs"], ids, texts, *shared.arguments(ring=ring))


async def insert_keyed(
    connection: HeldConnection | Caller,
    ids: Sequence[UUID],
    texts: Sequence[str],
    keys: Sequence[str],
    shared: Shared,
    *,
    ring: bool,
) -> set[str]:
    """Store those jobs whose idempotency keys are free, in one statement.

    Returns:
        The ids that were stored, as text.
    """
    if shared.is_keyed:
        return await insert_with_keys(connection, ids, texts, shared, ring=ring, keys=keys)
    rows = await connection.fetch(
        SQL["submit.insert_keyed_jobs"], ids, texts, *shared.arguments(ring=ring), keys
    )
    return {str(row[0]) for row in rows}


async def find_keys(
    connection: HeldConnection | Caller, tenant: str, owner: str, keys: Sequence[str]
) -> dict[str, KeyOwner]:
    """The jobs that have these keys."""
    rows = await connection.fetch(SQL["submit.find_keyed_jobs"], tenant, owner, keys)
    return {row[1]: KeyOwner(row[0], row[2], row[3]) for row in rows}


async def count_stored(connection: HeldConnection, ids: Sequence[UUID]) -> int:
    """How many of these jobs are stored."""
    return len(await connection.fetch(SQL["submit.find_stored_jobs"], ids))


async def read_clock(connection: HeldConnection | Caller) -> datetime:
    """The engine's time."""
    rows = await connection.fetch(SQL["submit.read_clock"])
    now: datetime = rows[0][0]
    return now
