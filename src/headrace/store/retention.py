"""What is deleted once its time is over, and the odds and ends that jobs leave behind.

Jobs are found by their ids, which are in order of time, so that no index is kept for this. A call
looks at one page and says where the next one begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

import asyncpg

from headrace.store.outbox import prune_outbox
from headrace.store.sql import SQL
from headrace.store.workers import affected

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from headrace.store.pool import HeldConnection

FIRST_ID: Final = UUID(int=0)
"""Where the first page begins."""
PAGE: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionRules:
    """How long what is kept is kept.

    Attributes:
        jobs: An ended job and all that belongs to it: events, failed tries, its dead letter.
        checkpoints: Outputs of the steps of a job that completed or was cancelled, but for the
            output that is its result. A failed job keeps them as long as it is kept itself.
    """

    jobs: timedelta
    checkpoints: timedelta


@dataclass(frozen=True, slots=True)
class Page:
    """One page of jobs that was looked at."""

    removed: int
    """Jobs, or checkpoints, that were deleted."""
    next: UUID | None
    """Where the next page begins; None when this was the last one."""


@dataclass(frozen=True, slots=True)
class Expired:
    """How much a pass over everything would delete now."""

    jobs: int
    checkpoints: int
    """Those of the jobs included."""


class RetentionPass:
    """One walk over everything that is old enough, page by page, at its caller's pace.

    Attributes:
        jobs: Jobs deleted so far.
        checkpoints: Checkpoints deleted so far from jobs that stay.
        events: Events for webhooks and topics deleted so far, of those that were sent or given up.
    """

    def __init__(self, rules: RetentionRules) -> None:
        """Nothing is deleted before the first `advance`."""
        self._rules = rules
        self._jobs_after: UUID | None = FIRST_ID
        self._checkpoints_after: UUID | None = FIRST_ID
        self._events_after: int | None = 0
        self._page = PAGE
        self.jobs = 0
        self.checkpoints = 0
        self.events = 0

    @property
    def removed(self) -> int:
        """Everything that was deleted so far."""
        return self.jobs + self.checkpoints + self.events

    async def advance(self, connection: HeldConnection) -> bool:
        """Do the next page; False when that was the last one."""
        try:
            await self._advance(connection)
        except asyncpg.QueryCanceledError:
            # Jobs of ten thousand items each: as many at once as the server does in its time limit.
            if self._page == 1:
                raise
            self._page = max(1, self._page // 4)
        else:
            self._page = min(PAGE, self._page * 2)
        left = (self._jobs_after, self._checkpoints_after, self._events_after)
        return any(after is not None for after in left)

    async def _advance(self, connection: HeldConnection) -> None:
        if self._jobs_after is not None:
            page = await prune_jobs(
                connection, age=self._rules.jobs, after=self._jobs_after, page=self._page
            )
            self.jobs += page.removed
            self._jobs_after = page.next
        elif self._checkpoints_after is not None:
            page = await prune_checkpoints(
                connection,
                age=self._rules.checkpoints,
                after=self._checkpoints_after,
                page=self._page,
            )
            self.checkpoints += page.removed
            self._checkpoints_after = page.next
        elif self._events_after is not None:
            told = await prune_outbox(connection, after=self._events_after, page=self._page)
            self.events += told.removed
            self._events_after = told.next


async def prune_jobs(
    connection: HeldConnection, *, age: timedelta, after: UUID = FIRST_ID, page: int = PAGE
) -> Page:
    """Delete those of `page` jobs that ended longer ago than `age`, with all that is theirs."""
    return await _prune(connection, "retention.prune_jobs", age, after, page)


async def prune_checkpoints(
    connection: HeldConnection, *, age: timedelta, after: UUID = FIRST_ID, page: int = PAGE
) -> Page:
    """Delete the checkpoints of those of `page` jobs that ended well longer ago than `age`."""
    return await _prune(connection, "retention.prune_checkpoints", age, after, page)


async def count_expired(connection: HeldConnection, rules: RetentionRules) -> Expired:
    """Count what is to be deleted, and delete nothing."""
    row = await connection.fetchrow(SQL["retention.count_expired"], rules.jobs, rules.checkpoints)
    return Expired(*row) if row is not None else Expired(0, 0)


async def take_duty(
    connection: HeldConnection, duty: str, *, worker: int, lease: timedelta
) -> bool:
    """Become or stay the one worker that does a duty, for the time of `lease`."""
    return bool(await connection.fetchval(SQL["retention.take_duty"], duty, worker, lease))


async def promote_due(connection: HeldConnection, *, limit: int = PAGE) -> int:
    """Make queued jobs claimable whose time has come; returns how many."""
    return affected(await connection.execute(SQL["claims.promote_due"], limit))


async def ring_ready(connection: HeldConnection) -> None:
    """Ring for every open queue that has jobs to claim: an earlier ring may have been lost."""
    await connection.execute(SQL["retention.ring_ready"])


async def promote_queues(connection: HeldConnection, *, limit: int = PAGE) -> list[tuple[str, int]]:
    """As `promote_due`; which queues these jobs are of, and how many."""
    rows = await connection.fetch(SQL["retention.promote_queues"], limit)
    return [(row["queue"], row["jobs"]) for row in rows]


async def take_rings(
    connection: HeldConnection, *, worker: int, first: timedelta, most: timedelta
) -> list[tuple[str, int]]:
    """The queues for which it is time to ring again, and how many jobs wait there, 1,000 at most.

    Args:
        connection: Where.
        worker: The worker that rings.
        first: From the time at which a job was due to the first ring; the time then doubles.
        most: The longest time between two rings.
    """
    rows = await connection.fetch(SQL["retention.take_rings"], worker, first, most)
    return [(row["queue"], row["jobs"]) for row in rows]


async def clear_progress(connection: HeldConnection, *, limit: int = PAGE) -> int:
    """Delete progress rows of jobs that are not at it any more; returns how many."""
    return len(await connection.fetch(SQL["retention.clear_progress"], limit))


async def unreferenced_artifacts(
    connection: HeldConnection, *, age: timedelta, after: str = "", limit: int = PAGE
) -> list[str]:
    """Paths of artifacts that nothing refers to, older than `age`, in order, from `after` on."""
    rows = await connection.fetch(SQL["retention.unreferenced_artifacts"], after, age, limit)
    return [row["path"] for row in rows]


async def forget_artifacts(connection: HeldConnection, paths: Sequence[str]) -> int:
    """Delete the rows of artifacts whose bytes are gone; returns how many."""
    return affected(await connection.execute(SQL["retention.forget_artifacts"], list(paths)))


async def _prune(
    connection: HeldConnection, statement: str, age: timedelta, after: UUID, page: int
) -> Page:
    async with connection.transaction():
        await connection.execute(SQL["retention.allow_deletion"])
        row = await connection.fetchrow(SQL[statement], after, age, page)
    return Page(row["removed"], row["next"]) if row is not None else Page(0, None)
