"""Storing jobs that have ordering keys or concurrency keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.store.sql import SQL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from uuid_utils import UUID

    from headrace.store.callers import Caller
    from headrace.store.jobs import Shared
    from headrace.store.pool import HeldConnection


async def insert_with_keys(
    connection: HeldConnection | Caller,
    ids: Sequence[UUID],
    texts: Sequence[str],
    shared: Shared,
    *,
    ring: bool,
    keys: Sequence[str] = (),
) -> set[str]:
    """Store jobs in one statement, behind all that were accepted with their ordering key.

    Whoever else submits with this ordering key waits until the transaction ends.

    Args:
        connection: Where, in its transaction.
        ids: Theirs, in the order of acceptance.
        texts: Their encoded inputs.
        shared: What they have in common.
        ring: Whether the transaction wakes workers.
        keys: Their idempotency keys; one that is taken stores nothing.

    Returns:
        The ids that were stored, as text.
    """

    def each(value: object) -> list[Any]:
        return [] if value is None else [value] * len(ids)

    rows = await connection.fetch(
        SQL["gates.insert_gated_jobs"],
        ids,
        texts,
        each(shared.lane),
        each(shared.tenant),
        each(shared.owner),
        each(shared.priority),
        each(shared.due_at),
        each(shared.deadline),
        each(shared.preset),
        each(shared.parameters),
        each(shared.metadata),
        each(shared.correlation_id),
        each(shared.parent_job),
        each(shared.actor),
        [],
        shared.head_start,
        shared.queue if ring else None,
        list(keys),
        [],
        each(shared.ordering_key),
        each(shared.concurrency_key),
    )
    return {str(row[0]) for row in rows}
