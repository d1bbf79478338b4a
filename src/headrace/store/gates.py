"""Ordering keys and limits: who may run, what waits for whom, and what operators set."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import asyncpg

from headrace.errors import UnavailableError
from headrace.store.retention import PAGE
from headrace.store.sql import SQL
from headrace.store.workers import affected

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from headrace.store.pool import Connection

LANES_CHANGED: Final = "*"
"""What is rung where no queue has a job, but what workers know of lanes is out of date."""
RETRY_AFTER: Final = timedelta(seconds=1)
KINDS: Final = {"order": "ordering_key", "key": "concurrency_key", "tenant": "tenant_limit"}
"""The gates that keep jobs out one by one, as people read them."""


@dataclass(frozen=True, slots=True)
class TenantLimit:
    """A tenant with a limit, and what of it is in use."""

    tenant: str
    concurrency: int
    set_at: datetime
    set_by: str
    reason: str | None
    running: int
    blocked: int


async def settle_gates(connection: Connection, jobs: Sequence[UUID] | None) -> None:
    """Let others in where jobs have left, and ring for them.

    Args:
        connection: In no transaction: whoever waits to be let in sees what is committed.
        jobs: Those that ended, or went back to their queue; None for all, as the sweep does.
    """
    await connection.fetch(SQL["gates.settle_gates"], None if jobs is None else list(jobs))


async def limit_queue(connection: Connection, queue: str, most: int | None) -> int | None:
    """Set how many jobs of a queue run at once; None for any number.

    What runs already counts, and is not stopped.

    Returns:
        The limit before.

    Raises:
        UnavailableError: Somebody's transaction held claims up for 2 s; nothing has changed.
    """
    before = await _set_limit(connection, "gates.limit_queue", queue, most)
    await settle_gates(connection, None)
    return before


async def limit_tenant(
    connection: Connection, tenant: str, most: int | None, *, by: str, reason: str | None
) -> int | None:
    """As `limit_queue`, for all jobs of a tenant."""
    before = await _set_limit(connection, "gates.limit_tenant", tenant, most, by, reason)
    await settle_gates(connection, None)
    return before


async def limit_pipeline(
    connection: Connection, pipeline: str, version: str, most: int | None, most_of_key: int
) -> None:
    """Make the limits count that a version's definition names; does nothing where they do.

    Raises:
        UnavailableError: As `limit_queue`.
    """
    await _set_limit(connection, "gates.limit_pipeline", pipeline, version, most, most_of_key)


async def _set_limit(connection: Connection, statement: str, *arguments: object) -> int | None:
    """Wait for the claims under way, and change what those that follow may take."""
    try:
        before: int | None = await connection.fetchval(SQL[statement], *arguments)
    except asyncpg.LockNotAvailableError:
        raise UnavailableError(
            "the limit was not set: for 2 s another transaction used the table of queues, and "
            "claims would have waited behind it; try again", retry_after=RETRY_AFTER,
        ) from None  # fmt: skip
    return before or None


async def list_tenants(connection: Connection) -> list[TenantLimit]:
    """The tenants that have a limit, by name."""
    return [TenantLimit(*row) for row in await connection.fetch(SQL["gates.list_tenants"])]


def name_blocked(counts: Mapping[str, int]) -> dict[str, int]:
    """How many jobs are kept out, by the names of what does it instead of the kinds of gates."""
    return {name: counts.get(kind, 0) for kind, name in KINDS.items()}


async def prune_ordered(connection: Connection) -> int:
    """Forget the places of jobs that have ended; returns how many, `PAGE` at most."""
    return affected(await connection.execute(SQL["gates.prune_ordered"], PAGE))
