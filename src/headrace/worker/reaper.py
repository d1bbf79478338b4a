"""Finds dead workers and frees their jobs and locks. Every worker does this, two do no harm.

It asks what *is*, not what happened: whatever claim has no living worker is an orphan. So a reaper
that dies half-way leaves nothing that the next pass would not find.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Final, TypedDict

from headrace.store.elapsed import clock_s
from headrace.store.failpoints import hit
from headrace.store.gates import settle_gates
from headrace.store.locks import free_void_locks
from headrace.store.workers import (
    forget_claim,
    lose_workers,
    orphaned_claims,
    recover_jobs,
    ring_queues,
)
from headrace.telemetry.events import emit
from headrace.telemetry.job_events import (
    CrashCharged,
    DeadLettered,
    JobCancelled,
    JobFailed,
    JobRecovered,
    JobSuspected,
)
from headrace.telemetry.lock_events import LockFreed
from headrace.telemetry.worker_events import WorkerLost
from headrace.worker.claim import SUSPECT
from headrace.worker.service import PeriodicService

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from headrace.store.locks import VoidLock
    from headrace.store.pool import HeldConnection
    from headrace.store.session import Session
    from headrace.store.workers import (
        LostWorker,
        MovedJob,
        OrphanedClaim,
        RecoveredJob,
        RecoveryRules,
    )
    from headrace.worker.timing import Timing

BATCH: Final = 100
"""Claims that are recovered before the next look."""


class Reaper(PeriodicService):
    """Looks each `timing.reap` for workers that died, and recovers their jobs.

    It holds back for one heartbeat after its start, after it lost sight of the database, and after
    it was frozen itself: in that time everyone who lives can say so.
    """

    def __init__(
        self,
        session: Session,
        worker: int,
        timing: Timing,
        rules: RecoveryRules,
        *,
        echo: Callable[[str, int], None] | None = None,
    ) -> None:
        """Nothing is looked at before `start`.

        Args:
            session: The connection to use; others may use it in between.
            worker: The worker that does this, for the history of the jobs.
            timing: Its durations.
            rules: What becomes of the jobs.
            echo: Told of the queues for which the database was rung, and of how many jobs, where
                that wakes nobody.
        """
        super().__init__("reaper", every=timing.reap, worker_id=str(worker), timing=timing)
        self._session, self._worker, self._rules, self._echo = session, worker, rules, echo
        self._grace = timing.presence_grace
        self._hold_s = timing.heartbeat.total_seconds()
        self._generation = 0
        self._seen_s = clock_s()
        self._held_until_s = math.inf

    @property
    def is_judging(self) -> bool:
        """Whether it takes silence for death: false while it holds back."""
        return self._held_until_s <= self._seen_s

    async def tick(self) -> None:
        """Do one pass, unless it is too early to judge."""
        async with self._session.use() as connection:
            if self._must_hold():
                return
            lost = await lose_workers(connection, grace=self._grace)
            hit("reaper_lost")
            claims = await orphaned_claims(connection, limit=BATCH)
            self._tell_lost(lost, claims)
            for claim in claims:
                await self._recover(connection, claim)
            self._tell_freed(await free_void_locks(connection))
        if len(claims) == BATCH:
            self.wake()

    def _tell_freed(self, freed: Sequence[VoidLock]) -> None:
        for lock in freed:
            emit(
                LockFreed(
                    tenant=lock.tenant, key=lock.key, token=lock.token, worker_id=self.worker_id
                )
            )

    def _must_hold(self) -> bool:
        now = clock_s()
        since, self._seen_s = now - self._seen_s, now
        if self._session.generation != self._generation or since > self.every_s + self._hold_s:
            self._generation = self._session.generation
            self._held_until_s = now + self._hold_s
        return not self.is_judging

    async def _recover(self, connection: HeldConnection, claim: OrphanedClaim) -> None:
        jobs = await recover_jobs(connection, claim.token, rules=self._rules, reaper=self._worker)
        hit("reaper_recovered")
        await forget_claim(connection, claim.token)
        await settle_gates(connection, [job.id for job in jobs])
        queues = Counter(job.queue for job in jobs if job.state == "queued")
        await ring_queues(connection, sorted(queues))
        if self._echo is not None:
            for queue, count in queues.items():
                self._echo(queue, count)
        for job in jobs:
            fields = fields_of(job, worker_id=self.worker_id)
            _tell_recovered(job, fields, str(claim.worker))

    def _tell_lost(self, lost: Sequence[LostWorker], claims: Sequence[OrphanedClaim]) -> None:
        for worker in lost:
            emit(
                WorkerLost(
                    worker_id=self.worker_id,
                    lost_worker_id=str(worker.id),
                    reason="process gone" if worker.vanished else "lease over",
                    jobs=sum(claim.jobs for claim in claims if claim.worker == worker.id),
                )
            )


class JobFields(TypedDict):
    """What all events of a job tell."""

    job_id: UUID
    run: int
    pipeline: str
    version: str
    queue: str
    tenant: str
    worker_id: str
    correlation_id: str | None


def fields_of(job: MovedJob, *, worker_id: str) -> JobFields:
    """What an event of a job tells, that a worker moved without holding it."""
    return JobFields(
        job_id=job.id,
        run=job.run,
        pipeline=job.pipeline,
        version=job.version,
        queue=job.queue,
        tenant=job.tenant,
        worker_id=worker_id,
        correlation_id=job.correlation_id,
    )


def _tell_recovered(job: RecoveredJob, fields: JobFields, lost_worker_id: str) -> None:
    losses = job.lease_losses
    if job.charges is not None:
        emit(CrashCharged(**fields, lease_losses=losses, step=job.step, item=job.item))
    if job.state == "queued":
        emit(JobRecovered(**fields, lost_worker_id=lost_worker_id, lease_losses=losses))
        if job.suspicion == SUSPECT and job.charges is None:
            emit(JobSuspected(**fields, due_at=job.due_at, lease_losses=losses))
    elif job.state == "cancelled":
        actor = job.cancel_requested_by or "system"
        emit(JobCancelled(**fields, actor=actor, job_latency_ms=job.job_latency_ms))
    else:
        _tell_failed(job, fields)


def _tell_failed(job: RecoveredJob, fields: JobFields) -> None:
    emit(
        JobFailed(
            **fields,
            cause="worker_lost",
            job_latency_ms=job.job_latency_ms,
            step=job.step,
            item=job.item,
            error_code="WORKER_LOST",
        )
    )
    emit(
        DeadLettered(
            **fields,
            cause="worker_lost",
            attempts=job.charges or 0,
            step=job.step,
            item=job.item,
            error_code="WORKER_LOST",
        )
    )
