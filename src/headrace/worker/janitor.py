"""Puts in order what no worker is in charge of. One worker at a time does this; two do no harm."""

from __future__ import annotations

from collections import deque
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Final

from headrace.store.audit import prune_actions
from headrace.store.breakers import prune_breakers
from headrace.store.budgets import prune_budgets
from headrace.store.children import NO_CHILD, cancel_orphan, find_orphans, wake_missed
from headrace.store.gates import prune_ordered, settle_gates
from headrace.store.idempotency import prune_operations
from headrace.store.inbox import prune_inbox
from headrace.store.locks import prune_grants, prune_locks
from headrace.store.rate_limits import prune_limits
from headrace.store.requests import prune_requests
from headrace.store.retention import (
    PAGE,
    RetentionPass,
    clear_progress,
    forget_artifacts,
    promote_due,
    promote_queues,
    ring_ready,
    take_duty,
    take_rings,
    unreferenced_artifacts,
)
from headrace.store.schedules import prune_slots
from headrace.store.workers import expire_queued, prune_workers
from headrace.telemetry.events import emit
from headrace.telemetry.job_events import DeadLettered, JobTimeout
from headrace.telemetry.worker_events import SweepCompleted
from headrace.worker.reaper import fields_of
from headrace.worker.service import PeriodicService

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from headrace.store.pool import HeldConnection
    from headrace.store.retention import RetentionRules
    from headrace.store.session import Session
    from headrace.store.workers import ExpiredJob
    from headrace.worker.timing import Timing

SWEEP: Final = "sweep"
CLEANUP: Final = "cleanup"
CLEANUP_EVERY: Final = timedelta(hours=1)
WORKERS_KEPT: Final = timedelta(days=7)
"""Workers that ended are listed for so long."""
ARTIFACTS_KEPT: Final = timedelta(hours=24)
"""The reference to an artifact is committed long before it is this old, or never."""
BATCH: Final = 100
CHILDREN: Final = 10_000
"""That are looked at in a sweep: the next one goes on behind them."""
OPERATION_PAGES: Final = 20
"""Of outcomes of operations, in a round: others are not held up by them."""
PAGES: Final = 1_000_000
SHARE: Final = 0.5
"""The part of the time between two sweeps that deletion may use: the rest is for the work."""


class Janitor(PeriodicService):
    """Sweeps each `timing.sweep`: due jobs, deadlines, leftovers; deletes what is old each hour.

    Between two statements it gives the connection to whoever waits for it.
    """

    def __init__(
        self,
        session: Session,
        worker: int,
        timing: Timing,
        retention: RetentionRules,
        *,
        delete_artifacts: Callable[[Sequence[str]], Awaitable[None]] | None = None,
        ring: Callable[[str, int], None] | None = None,
        cleanup_every: timedelta = CLEANUP_EVERY,
    ) -> None:
        """Nothing is swept before `start`.

        Args:
            session: The connection to use; others may use it in between.
            worker: The worker that does this.
            timing: Its durations.
            retention: How long what is kept is kept.
            delete_artifacts: Removes artifacts by their paths, also those that are gone already;
                None where there is no place for artifacts.
            ring: Rings for a queue and a number of jobs; None where the database does.
            cleanup_every: Between two rounds of deletion.
        """
        super().__init__("janitor", every=timing.sweep, worker_id=str(worker), timing=timing)
        self._session, self._worker, self._lease = session, worker, timing.janitor_lease
        self._retention, self._delete_artifacts = retention, delete_artifacts
        self._ring, self._timing = ring, timing
        self._cleanup_every = cleanup_every
        self._pass: RetentionPass | None = None
        self._rest_until_s = 0.0
        self._child = NO_CHILD

    async def tick(self) -> None:
        """Do one sweep, if no other worker does."""
        async with self._session.use() as connection:
            if not await take_duty(connection, SWEEP, worker=self._worker, lease=self._lease):
                return
            await wake_missed(connection)
        began = monotonic()
        promoted = await self._promote()
        expired = await self._expire()
        async with self._session.use() as connection:
            await settle_gates(connection, None)
        await self._cancel_orphans()
        removed = await self._clear() + await self._clean_up()
        emit(
            SweepCompleted(
                worker_id=self.worker_id,
                promoted=promoted,
                expired=expired,
                removed=removed,
                latency_ms=round(1_000 * (monotonic() - began), 3),
            )
        )

    async def clean_up(self) -> AsyncIterator[int]:
        """Delete all that is old now, whether it is this worker's turn or not; page by page."""
        yield await self._forget_old()
        walk, goes_on, before = RetentionPass(self._retention), True, 0
        while goes_on:
            async with self._session.use() as connection:
                goes_on = await walk.advance(connection)
            yield walk.jobs + walk.checkpoints - before
            before = walk.jobs + walk.checkpoints

    async def _promote(self) -> int:
        """Make due jobs ready, and ring for what is: claimers do it too, unless all are full."""
        if self._ring is not None:
            return await self._promote_and_ring(self._ring)
        promoted = 0
        async with self._session.use() as connection:
            while (count := await promote_due(connection)) == PAGE:
                promoted += count
            await ring_ready(connection)
        return promoted + count

    async def _promote_and_ring(self, ring: Callable[[str, int], None]) -> int:
        """As `_promote`; for what waits longer rings become rare, as nobody may be there."""
        promoted, count = 0, PAGE
        timing = self._timing
        async with self._session.use() as connection:
            while count == PAGE:
                found = await promote_queues(connection)
                for queue, jobs in found:
                    ring(queue, jobs)
                count = sum(jobs for _, jobs in found)
                promoted += count
            for queue, jobs in await take_rings(
                connection,
                worker=self._worker,
                first=timing.ring_again,
                most=timing.ring_again_most,
            ):
                ring(queue, jobs)
        return promoted

    async def _expire(self) -> int:
        expired = 0
        while True:
            async with self._session.use() as connection:
                jobs = await expire_queued(connection, limit=BATCH)
                await settle_gates(connection, [job.id for job in jobs])
            for job in jobs:
                self._tell_expired(job)
            expired += len(jobs)
            if len(jobs) < BATCH:
                return expired

    async def _cancel_orphans(self) -> None:
        """Cancel the children of jobs that ended without them, where nobody has done so."""
        async with self._session.use() as connection:
            found, self._child = await find_orphans(connection, after=self._child, limit=CHILDREN)
        left = deque(found)
        while left:
            async with self._session.use() as connection:
                left.extend(await cancel_orphan(connection, left.popleft()))

    async def _clear(self) -> int:
        async with self._session.use() as connection:
            return await clear_progress(connection)

    async def _clean_up(self) -> int:
        """Go on deleting what is old, for a part of the time; one worker begins a round an hour."""
        removed = 0
        if self._pass is None:
            if not await self._may_begin():
                return 0
            removed = await self._forget_old()
            self._pass = RetentionPass(self._retention)
        before = self._pass.jobs + self._pass.checkpoints
        after = await self._prune(self._pass)
        return removed + after - before

    async def _may_begin(self) -> bool:
        if monotonic() < self._rest_until_s:
            return False
        async with self._session.use() as connection:
            mine = await take_duty(
                connection, CLEANUP, worker=self._worker, lease=self._cleanup_every
            )
        if mine:
            self._rest_until_s = monotonic() + self._cleanup_every.total_seconds()
        return mine

    async def _prune(self, walk: RetentionPass) -> int:
        until = monotonic() + SHARE * self.every_s
        goes_on = True
        while goes_on and monotonic() < until:
            async with self._session.use() as connection:
                goes_on = await walk.advance(connection)
        if not goes_on:
            self._pass = None
        return walk.jobs + walk.checkpoints

    async def _forget_old(self) -> int:
        """Delete what is old besides jobs and their checkpoints."""
        removed = await self._forget_workers()
        removed += await self._forget(prune_requests) + await self._forget(prune_actions)
        removed += await self._forget(prune_limits) + await self._forget(prune_budgets)
        removed += await self._forget(prune_inbox) + await self._forget(prune_breakers)
        removed += await self._forget(prune_operations, most=OPERATION_PAGES)
        removed += await self._forget(prune_locks) + await self._forget(prune_grants)
        removed += await self._forget(prune_ordered)
        age = self._retention.jobs
        removed += await self._forget(lambda connection: prune_slots(connection, age=age))
        return removed + await self._sweep_artifacts()

    async def _forget_workers(self) -> int:
        async with self._session.use() as connection:
            return await prune_workers(connection, age=WORKERS_KEPT)

    async def _forget(
        self, prune: Callable[[HeldConnection], Awaitable[int]], *, most: int = PAGES
    ) -> int:
        """Delete, page by page, answers to idempotency keys, or audit, whose time is over."""
        removed = 0
        for _ in range(most):
            async with self._session.use() as connection:
                count = await prune(connection)
            removed += count
            if count < PAGE:
                break
        return removed

    async def _sweep_artifacts(self) -> int:
        if self._delete_artifacts is None:
            return 0
        removed, after = 0, ""
        while True:
            async with self._session.use() as connection:
                paths = await unreferenced_artifacts(connection, age=ARTIFACTS_KEPT, after=after)
            if not paths:
                return removed
            await self._delete_artifacts(paths)  # bytes first: a row without bytes is found again
            async with self._session.use() as connection:
                removed += await forget_artifacts(connection, paths)
            after = paths[-1]

    def _tell_expired(self, job: ExpiredJob) -> None:
        fields = fields_of(job, worker_id=self.worker_id)
        emit(JobTimeout(**fields, cause=job.cause, job_latency_ms=job.job_latency_ms))
        emit(DeadLettered(**fields, cause=job.cause, attempts=0, error_code="DEADLINE_EXCEEDED"))
