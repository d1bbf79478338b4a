"""Operations that a tenant has done once: who does one, and what came of it.

Each function is one statement on the connection that it is given; the database's clock decides what
is out of date and who is gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from headrace.errors import ConflictError, NotFoundError
from headrace.store.sql import SQL
from headrace.store.workers import affected

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from headrace.store.pool import Connection

PAGE: Final = 500
SILENCE: Final = timedelta(minutes=5)
"""A holder that has not renewed for so long is gone."""
LEFT_KEPT: Final = timedelta(hours=24)
"""So long what a holder has left pending is kept: its key, and how often it was taken over."""
STATES: Final = ("pending", "completed", "failed")


class OperationNotFoundError(NotFoundError):
    """Nothing is known of this key of this tenant."""

    code = "operation_not_found"

    def __init__(self, tenant: str, key: str) -> None:
        super().__init__(tenant, key)
        self.tenant, self.key = tenant, key

    def __str__(self) -> str:
        return (
            f"no operation {self.key!r} of tenant {self.tenant!r}; "
            "`headrace operations list` shows those that are kept"
        )


class OperationPendingError(ConflictError):
    """The operation is being carried out, or its holder has died; `force` frees its key."""

    code = "operation_pending"

    def __init__(self, tenant: str, key: str, job: UUID | None, worker: int | None) -> None:
        super().__init__(tenant, key, job, worker)
        self.tenant, self.key, self.job, self.worker = tenant, key, job, worker

    def __str__(self) -> str:
        holder = "another process" if self.job is None else f"job {self.job}"
        place = "" if self.worker is None else f" in worker {self.worker}"
        return (
            f"the operation {self.key!r} is in the hands of {holder}{place}: if that is dead, the "
            "next call takes it over; force it only if what it is at may be done twice"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An operation that somebody wants done, and who that is.

    Attributes:
        operation: What is to be done: the name of the function.
        input_hash: Of the stored form of what it is called with.
        job: On whose behalf; None outside of jobs, as the next four.
        job_token: Under which the job is held.
        worker: Whose life it is bound to; None outside of workers.
    """

    tenant: str
    key: str
    operation: str
    input_hash: bytes
    job: UUID | None = None
    job_token: int | None = None
    run: int | None = None
    step: str | None = None
    item: str | None = None
    worker: int | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What a key's row says.

    Attributes:
        won: Whether it was free, and is the asker's now.
        holder: Of whom it is while it is pending.
        token: Of its last holder.
        is_gone: Whether it is pending and its holder is dead or silent.
        age_s: Seconds since it was begun.
    """

    won: bool
    state: str
    operation: str
    input_hash: bytes
    holder: UUID
    token: int
    takeovers: int
    job: UUID | None
    job_token: int | None
    worker: int | None
    output: str | None
    artifact: str | None
    error: str | None
    renewed_at: datetime
    age_s: float
    is_gone: bool


@dataclass(frozen=True, slots=True)
class OperationRecord:
    """What is known of an operation, for people.

    Attributes:
        state: `pending`, `completed` or `failed`.
        takeovers: How often it was taken from a holder that was gone.
        output: As JSON; None in a list, and where it is kept aside.
        artifact: The reference to an output that is kept aside.
        error: As JSON: `kind`, `code`, `message`.
        expires_at: When its outcome is out of date; None while it is pending.
    """

    tenant: str
    key: str
    operation: str
    input_hash: bytes
    state: str
    token: int
    takeovers: int
    job: UUID | None
    run: int | None
    step: str | None
    item: str | None
    worker: int | None
    output: str | None
    artifact: str | None
    error: str | None
    created_at: datetime
    renewed_at: datetime
    completed_at: datetime | None
    expires_at: datetime | None


async def begin_operation(connection: Connection, wanted: Wanted, holder: UUID) -> Seen:
    """Take a key that is free, or see who has it."""
    while True:
        row = await connection.fetchrow(
            SQL["idempotency.begin_operation"],
            *(wanted.tenant, wanted.key, wanted.operation, wanted.input_hash, holder),
            *(wanted.job, wanted.job_token, wanted.run, wanted.step, wanted.item, wanted.worker),
            SILENCE,
        )
        if row is not None:
            return Seen(*row)


async def take_over_operation(
    connection: Connection, wanted: Wanted, holder: UUID, seen: Seen
) -> int | None:
    """Take a pending operation from the holder that was seen; None where the row has changed."""
    token: int | None = await connection.fetchval(
        SQL["idempotency.take_over_operation"],
        *(wanted.tenant, wanted.key, seen.token, seen.renewed_at, holder),
        *(wanted.job, wanted.job_token, wanted.run, wanted.step, wanted.item, wanted.worker),
    )
    return token


async def await_operation(connection: Connection, wanted: Wanted) -> None:
    """Have whoever ends an operation ring for it."""
    await connection.execute(SQL["idempotency.await_operation"], wanted.tenant, wanted.key)


async def renew_operation(connection: Connection, tenant: str, key: str, token: int) -> bool:
    """Say that its holder is still at it; False where it is not the holder's any more."""
    status = await connection.execute(SQL["idempotency.renew_operation"], tenant, key, token)
    return affected(status) == 1


async def complete_operation(
    connection: Connection,
    tenant: str,
    key: str,
    token: int,
    *,
    keep: timedelta,
    output: str | None,
    artifact: str | None = None,
) -> bool:
    """Store an output; False where the operation is not the holder's any more."""
    state = await connection.fetchval(
        SQL["idempotency.complete_operation"], tenant, key, token, keep, output, artifact
    )
    return state is not None


async def fail_operation(
    connection: Connection, tenant: str, key: str, token: int, *, keep: timedelta, error: str
) -> bool:
    """Store a permanent failure; False where the operation is not the holder's any more."""
    state = await connection.fetchval(
        SQL["idempotency.fail_operation"], tenant, key, token, keep, error
    )
    return state is not None


async def release_operation(connection: Connection, tenant: str, key: str, holder: UUID) -> None:
    """Leave a key free for the next try, if this holder has it."""
    await connection.execute(SQL["idempotency.release_operation"], tenant, key, holder)


async def has_ended(connection: Connection, tenant: str, key: str, token: int) -> bool:
    """Whether the outcome of this holder is stored; waits for a commit that is under way."""
    row = await connection.fetchrow(SQL["idempotency.find_operation"], tenant, key)
    return row is not None and row["token"] == token and row["state"] != "pending"


async def read_operation(connection: Connection, tenant: str, key: str) -> OperationRecord:
    """What is known of a key.

    Raises:
        OperationNotFoundError: Nothing is.
    """
    row = await connection.fetchrow(SQL["idempotency.read_operation"], tenant, key)
    if row is None:
        raise OperationNotFoundError(tenant, key)
    return OperationRecord(*row)


async def list_operations(
    connection: Connection,
    *,
    tenant: str | None = None,
    job: UUID | None = None,
    state: str | None = None,
    limit: int = 100,
) -> list[OperationRecord]:
    """Operations, those that began last first, without their outputs."""
    given = tenant, state, limit
    if job is None:
        rows = await connection.fetch(SQL["idempotency.list_operations"], *given)
    else:
        rows = await connection.fetch(SQL["idempotency.list_job_operations"], *given, job)
    return [OperationRecord(*row) for row in rows]


async def forget_operation(
    connection: Connection, tenant: str, key: str, *, force: bool = False
) -> str:
    """Free a key: the next call under it is carried out.

    Args:
        connection: Where.
        tenant: Whose key it is.
        key: The key.
        force: Also while the operation is pending: what its holder comes to is not stored then.

    Returns:
        The state that it had.

    Raises:
        OperationNotFoundError: Nothing is known of it.
        OperationPendingError: It is pending, and `force` is false.
    """
    state: str | None = await connection.fetchval(
        SQL["idempotency.forget_operation"], tenant, key, force
    )
    if state is None:
        found = await read_operation(connection, tenant, key)
        raise OperationPendingError(tenant, key, found.job, found.worker)
    return state


async def prune_operations(connection: Connection, *, limit: int = PAGE) -> int:
    """Delete what is out of date; returns how many."""
    return affected(await connection.execute(SQL["idempotency.prune_operations"], LEFT_KEPT, limit))
