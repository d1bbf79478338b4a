"""What HTTP requests store: jobs in groups, and the answers that belong to idempotency keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from headrace.store.sql import SQL
from headrace.store.workers import affected

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta
    from uuid import UUID

    import uuid_utils

    from headrace.store.jobs import Shared
    from headrace.store.pool import Connection, HeldConnection
    from headrace.store.webhooks import JobWebhook

PAGE: Final = 500


@dataclass(slots=True)
class NewJob:
    """A job that a request wants stored."""

    id: uuid_utils.UUID
    pipeline: str
    text: str
    shared: Shared
    traceparent: str | None = None
    key: str | None = None
    hash: bytes | None = None
    webhook: JobWebhook | None = None


@dataclass(frozen=True, slots=True)
class KnownJob:
    """The job that has an idempotency key."""

    id: UUID
    created_at: datetime
    hash: bytes | None
    pipeline: str
    input: str


async def is_owned(connection: Connection, job: UUID, tenant: str, owner: str | None) -> bool:
    """Whether there is such a job of this tenant, and of this owner where one is given."""
    return await connection.fetchval(SQL["requests.find_owned_job"], job, tenant, owner) is not None


async def insert_jobs(
    connection: HeldConnection, jobs: Sequence[NewJob], *, ring: bool
) -> datetime | None:
    """Store jobs of one queue in one statement; the time at which they were created.

    Either all of them have ordering keys or concurrency keys, or none.
    """
    if jobs[0].shared.is_keyed:
        rows = await _insert_gated(connection, jobs, ring=ring)
        return rows[0][1] if rows else None
    at: datetime | None = await connection.fetchval(
        SQL["requests.insert_jobs"], *_columns(jobs, ring=ring)
    )
    return at


async def insert_keyed(
    connection: HeldConnection, jobs: Sequence[NewJob], *, ring: bool
) -> set[str]:
    """Store those jobs of one queue whose keys are free; their ids as text."""
    if jobs[0].shared.is_keyed:
        return {str(row[0]) for row in await _insert_gated(connection, jobs, ring=ring)}
    rows = await connection.fetch(
        SQL["requests.insert_keyed_jobs"],
        *_columns(jobs, ring=ring),
        [job.key for job in jobs],
        [job.hash for job in jobs],
    )
    return {str(row[0]) for row in rows}


async def find_keyed(
    connection: Connection, jobs: Sequence[NewJob]
) -> dict[tuple[str, str, str], KnownJob]:
    """The jobs that have the keys of these, by tenant, owner and key."""
    rows = await connection.fetch(
        SQL["requests.find_keyed_jobs"],
        [job.shared.tenant for job in jobs],
        [job.shared.owner for job in jobs],
        [job.key for job in jobs],
    )
    return {(row[0], row[1], row[2]): KnownJob(*row[3:]) for row in rows}


async def find_created(connection: Connection, ids: Sequence[uuid_utils.UUID]) -> datetime | None:
    """When these jobs were created; None where they are not there."""
    at: datetime | None = await connection.fetchval(SQL["requests.find_created"], ids)
    return at


async def _insert_gated(
    connection: HeldConnection, jobs: Sequence[NewJob], *, ring: bool
) -> list[Any]:
    """The ids that were stored, and when they were created."""
    return await connection.fetch(
        SQL["gates.insert_gated_jobs"],
        *_columns(jobs, ring=ring),
        _sparse([job.key for job in jobs]),
        _sparse([job.hash for job in jobs]),
        _sparse([job.shared.ordering_key for job in jobs]),
        _sparse([job.shared.concurrency_key for job in jobs]),
    )


def _columns(jobs: Sequence[NewJob], *, ring: bool) -> list[Any]:
    """The first arguments of the inserts. What no job has costs nothing."""
    shared = [job.shared for job in jobs]
    return [
        [job.id for job in jobs],
        [job.text for job in jobs],
        [one.lane for one in shared],
        [one.tenant for one in shared],
        [one.owner for one in shared],
        [one.priority for one in shared],
        _sparse([one.due_at for one in shared]),
        _sparse([one.deadline for one in shared]),
        _sparse([one.preset for one in shared]),
        _sparse([one.parameters for one in shared]),
        _sparse([one.metadata for one in shared]),
        _sparse([one.correlation_id for one in shared]),
        _sparse([one.parent_job for one in shared]),
        _sparse([one.actor for one in shared]),
        _sparse([job.traceparent for job in jobs]),
        shared[0].head_start,
        shared[0].queue if ring else None,
    ]


def _sparse(column: list[Any]) -> list[Any]:
    return column if any(value is not None for value in column) else []


# --- idempotency keys of other requests -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RequestKey:
    """A key in the hands of a tenant's owner."""

    tenant: str
    owner: str
    key: str


@dataclass(frozen=True, slots=True)
class KnownRequest:
    """What is known of a request with a key; `status` is None while it is served."""

    fingerprint: bytes
    status: int | None
    headers: str | None
    body: bytes | None


async def begin_request(
    connection: Connection,
    key: RequestKey,
    fingerprint: bytes,
    *,
    pending: timedelta,
    keep: timedelta,
) -> datetime | None:
    """Take a key for a request that begins.

    Returns:
        What to show when it ends; None where the key is taken.
    """
    taken: datetime | None = await connection.fetchval(
        SQL["requests.begin_request"], key.tenant, key.owner, key.key, fingerprint, pending, keep
    )
    return taken


async def find_request(connection: Connection, key: RequestKey) -> KnownRequest | None:
    """What is known of a key."""
    row = await connection.fetchrow(SQL["requests.find_request"], key.tenant, key.owner, key.key)
    return None if row is None else KnownRequest(*row)


async def end_request(
    connection: Connection,
    key: RequestKey,
    taken: datetime,
    *,
    status: int,
    headers: str,
    body: bytes,
) -> None:
    """Keep the answer to a request, unless its key was taken over meanwhile."""
    await connection.execute(
        SQL["requests.end_request"], key.tenant, key.owner, key.key, taken, status, headers, body
    )


async def forget_request(connection: Connection, key: RequestKey, taken: datetime) -> None:
    """Free the key of a request that failed on our side."""
    await connection.execute(SQL["requests.forget_request"], key.tenant, key.owner, key.key, taken)


async def prune_requests(connection: Connection, *, limit: int = PAGE) -> int:
    """Delete answers that are out of date; returns how many."""
    return affected(await connection.execute(SQL["requests.prune_requests"], limit))
