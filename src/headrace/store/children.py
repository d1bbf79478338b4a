"""Child jobs: bound to a step of another job, which waits for their end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.errors import LeaseLostError
from headrace.store.sql import SQL

if TYPE_CHECKING:
    from uuid import UUID

    from headrace.store.pool import Connection


async def bind_child(
    connection: Connection, child: UUID, *, parent: UUID, run: int, token: int
) -> None:
    """Bind a job to the one whose step has submitted it: it is cancelled with it.

    Nothing is bound where it has ended by now.

    Args:
        connection: In the transaction that stores the child.
        child: The job.
        parent: Whose step waits for it.
        run: The parent's.
        token: Of the claim under which the step runs.

    Raises:
        LeaseLostError: The parent has passed to another worker.
    """
    if not await connection.fetchval(SQL["children.bind_child"], child, parent, run, token):
        raise LeaseLostError(f"job {parent}", token)


async def children_of(connection: Connection, parent: UUID) -> list[UUID]:
    """The children of a job that have not ended."""
    return [row["child"] for row in await connection.fetch(SQL["children.children_of"], parent)]


async def find_orphans(connection: Connection, *, limit: int) -> list[UUID]:
    """Children that have not ended, of jobs that failed or were cancelled."""
    return [row["child"] for row in await connection.fetch(SQL["children.find_orphans"], limit)]
