"""Child jobs: bound to a step of another job, which waits for their end."""

from __future__ import annotations

import contextlib
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID

from headrace.errors import JobNotFoundError, LeaseLostError, TransitionError
from headrace.model.job import JobState
from headrace.store.operations import cancel_job
from headrace.store.sql import SQL

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from headrace.store.pool import Connection

ACTOR: Final = "system"
NO_CHILD: Final = UUID(int=0)
"""Before all children."""
MOST_WOKEN: Final = 1_000
"""Parents in a statement; such rows are rare."""


class Orphan(NamedTuple):
    """A child whose parent failed or was cancelled."""

    child: UUID
    parent: UUID


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


async def priority_of(connection: Connection, job: UUID) -> int:
    """The priority of a job, for those that its steps submit."""
    priority: int = await connection.fetchval(SQL["children.priority_of"], job)
    return priority


async def is_in_line(connection: Connection, job: UUID, ordering_key: str) -> bool:
    """Whether a child of a job would wait, by its ordering key, for a job that waits for it."""
    return bool(await connection.fetchval(SQL["children.is_in_line"], job, ordering_key))


async def orphans_of(connection: Connection, parents: Sequence[UUID]) -> list[Orphan]:
    """The children that these jobs, of which some failed or were cancelled, left behind."""
    return [Orphan(*row) for row in await connection.fetch(SQL["children.orphans_of"], parents)]


async def find_orphans(
    connection: Connection, *, after: UUID, limit: int
) -> tuple[list[Orphan], UUID]:
    """As `orphans_of`, among the children behind `after`, and where the next ones begin.

    The second is NO_CHILD where there are no more.
    """
    *found, last = await connection.fetch(SQL["children.find_orphans"], after, limit)
    return [Orphan(*row) for row in found], last["child"] or NO_CHILD


async def cancel_orphans(connection: Connection, orphans: Iterable[Orphan]) -> None:
    """Cancel children, and theirs: those that run end soon, and leave theirs to their worker."""
    left = deque(orphans)
    while left:
        left.extend(await cancel_orphan(connection, left.popleft()))


async def cancel_orphan(connection: Connection, orphan: Orphan) -> list[Orphan]:
    """Cancel a child; the children that it leaves behind, unless it runs."""
    reason = f"its parent, job {orphan.parent}, ended without it"
    with contextlib.suppress(TransitionError, JobNotFoundError):  # it has ended, too
        state = await cancel_job(connection, orphan.child, by=ACTOR, reason=reason)
        if state is JobState.CANCELLED:
            return await orphans_of(connection, [orphan.child])
    return []


async def wake_missed(connection: Connection) -> None:
    """Wake the parents that ends of children passed by, as somebody else held their rows."""
    await connection.execute(SQL["children.wake_missed"], MOST_WOKEN)


async def due_queues(connection: Connection, jobs: Sequence[UUID]) -> list[str]:
    """The queues in which these jobs, or parents that waited for their end, can be claimed now."""
    return [row["queue"] for row in await connection.fetch(SQL["children.due_queues"], jobs)]
