"""What operators do: list, cancel, retry, redrive, pause, drain."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar
from uuid import UUID

import orjson

from headrace.client.options import check_limit, check_text
from headrace.client.quotas import Quotas
from headrace.client.rerun import Rerun
from headrace.client.submission import parse_id
from headrace.errors import (
    JobNotFoundError,
    OptionError,
    PipelineNotFoundError,
    QueueNotFoundError,
    TransitionError,
    UndoError,
)
from headrace.model.job import JobState
from headrace.store import gates, operations, reads
from headrace.store.children import cancel_orphans, due_queues, orphans_of
from headrace.store.reads import DeadLetterFilter, JobFilter
from headrace.telemetry.events import emit
from headrace.telemetry.gate_events import QueueLimited, TenantLimited
from headrace.telemetry.job_events import JobRedriven

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from headrace.broker.broker import Broker
    from headrace.client.submission import Limits
    from headrace.model.pipeline import Pipeline
    from headrace.store.connections import Connections
    from headrace.store.gates import TenantLimit
    from headrace.store.pool import Connection
    from headrace.store.reads import (
        DeadLetter,
        HistoryEntry,
        JobSummary,
        QueueStatus,
        RegisteredPipeline,
        Unclaimable,
        WorkerStatus,
    )

T = TypeVar("T")

REDRIVE_PER_SECOND: Final = 10.0
REDRIVE_FASTEST: Final = 1_000.0
PAGE_MOST: Final = 1_000


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Part of a listing; `next` is the cursor of the next part, None after the last one."""

    items: list[T]
    next: str | None


@dataclass(frozen=True, slots=True)
class Redriven:
    """What a redrive did, or would do."""

    matched: int
    """Dead letters that the filter matches; those beyond the limit are not counted."""
    runs: dict[str, int]
    """The new run of each job; empty in a dry run."""
    skipped: int
    """Jobs that somebody else had restarted or erased by then, or that are not undone yet."""


class Operations:
    """The operators' half of the client."""

    def __init__(
        self,
        connections: Connections,
        broker: Broker,
        *,
        pipelines: Iterable[Pipeline[Any, Any]],
        limits: Callable[[], Limits],
    ) -> None:
        self._connections, self._broker, self._limits = connections, broker, limits
        self._pipelines = {pipeline.name: pipeline for pipeline in pipelines}

    @property
    def pipelines(self) -> Mapping[str, Pipeline[Any, Any]]:
        """The pipelines of this app, by name."""
        return MappingProxyType(self._pipelines)

    @cached_property
    def quotas(self) -> Quotas:
        """Rate limits and budgets: listed, and set in place of the code's numbers."""
        return Quotas(self._connections)

    def pipeline(self, pipeline: Pipeline[Any, Any] | str) -> Pipeline[Any, Any]:
        """One of this app's pipelines.

        Raises:
            PipelineNotFoundError: The app has none of this name.
            OptionError: The app has another one of this name.
        """
        name = pipeline if isinstance(pipeline, str) else pipeline.name
        known = self._pipelines.get(name)
        if known is None:
            raise PipelineNotFoundError(name, tuple(self._pipelines))
        if known is not pipeline and not isinstance(pipeline, str):
            raise OptionError("pipeline", f"this app has another pipeline named {name!r}")
        return known

    # --- list -------------------------------------------------------------------------------------

    async def list_jobs(
        self, wanted: JobFilter | None = None, *, limit: int = 30, cursor: str | None = None
    ) -> Page[JobSummary]:
        """Jobs, newest first.

        Args:
            wanted: Which; all, if left out.
            limit: Most jobs, 1 to 1,000.
            cursor: `next` of the page before.

        Raises:
            OptionError: The limit or the cursor cannot be used.
        """
        before = None if cursor is None else _id_in(cursor)
        async with self._connections.use() as connection:
            found = await reads.list_jobs(
                connection, wanted or JobFilter(), before=before, limit=_checked(limit) + 1
            )
        more = len(found) > limit
        return Page(found[:limit], found[limit - 1].id if more else None)

    async def list_dead_letters(
        self, wanted: DeadLetterFilter | None = None, *, limit: int = 30, cursor: str | None = None
    ) -> Page[DeadLetter]:
        """Failed runs that nobody has redriven, newest first; arguments as `list_jobs`."""
        before = None if cursor is None else _place_in(cursor)
        async with self._connections.use() as connection:
            found = await reads.list_dead_letters(
                connection, wanted or DeadLetterFilter(), before=before, limit=_checked(limit) + 1
            )
        more = len(found) > limit
        last = found[limit - 1] if more else None
        return Page(found[:limit], f"{last.failed_at.isoformat()}_{last.job}" if last else None)

    async def list_queues(self) -> list[QueueStatus]:
        """Every queue by name, with what waits and runs in it."""
        async with self._connections.use() as connection:
            return await reads.list_queues(connection)

    async def list_unclaimable(self) -> list[Unclaimable]:
        """Pipelines and versions with queued jobs that no living worker carries."""
        async with self._connections.use() as connection:
            return await reads.list_unclaimable(connection)

    async def list_workers(self, *, limit: int = 100) -> list[WorkerStatus]:
        """Workers, newest first; also those that ended in the last days."""
        async with self._connections.use() as connection:
            return await reads.list_workers(connection, limit=_checked(limit))

    async def list_pipelines(self) -> list[RegisteredPipeline]:
        """Every version of a pipeline that a worker or a submission registered."""
        async with self._connections.use() as connection:
            return await reads.list_pipelines(connection)

    async def history(self, job: str | UUID, *, after: int = 0) -> list[HistoryEntry]:
        """The transitions of a job so far, oldest first; empty where there is no such job.

        Args:
            job: Its id.
            after: The `seq` of the last one that is known.
        """
        async with self._connections.use() as connection:
            return await reads.read_history(connection, parse_id(job), after=after)

    # --- jobs -------------------------------------------------------------------------------------

    async def cancel(
        self, job: str | UUID, *, reason: str | None = None, actor: str = "user"
    ) -> JobState:
        """Cancel a job; see `JobHandle.cancel`."""
        key = parse_id(job)
        async with self._connections.use() as connection:
            state = await operations.cancel_job(connection, key, by=actor, reason=reason)
            if state is JobState.CANCELLED:
                await cancel_orphans(connection, await orphans_of(connection, [key]))
                queues = await due_queues(connection, [key])
        if state is JobState.CANCELLED:
            for queue in queues:
                self._broker.echo(queue)
        return state

    async def retry(
        self,
        job: str | UUID,
        *,
        from_step: str | None = None,
        force: bool = False,
        override_outputs: Mapping[str, Any] | None = None,
        reason: str | None = None,
        actor: str = "user",
    ) -> int:
        """Open a new run of a failed or cancelled job; it takes over all stored outputs.

        Args:
            job: Its id.
            from_step: This step, and all that depend on it, run again; the rest is taken over.
            force: Everything runs again, beside what could not be undone.
            override_outputs: Outputs, as JSON values by the name of their step, that stand in place
                of what these steps made: they do not run, all that depend on them run again.
            reason: Kept in the job's history.
            actor: Who asks for it.

        Returns:
            The number of the new run.

        Raises:
            TransitionError: The job is queued, running or completed.
            UndoUnderWayError: What it had done is being undone.
            UndoFailedError: That failed: its undo job is to be retried first; not with `force`.
            UndoJobError: It is an undo job, which only goes on: no other option is taken.
            StepNotFoundError: Its pipeline has no such step.
            OptionError: An output does not fit its step, or its pipeline is not of this app.
            JobNotFoundError: There is no such job.
        """
        allowed = frozenset({JobState.FAILED, JobState.CANCELLED})
        again = self._rerun(from_step, override_outputs, force=force)
        return await self._reopen(job, allowed, again, reason=reason, actor=actor, word="retried")

    async def replay(
        self,
        job: str | UUID,
        *,
        from_step: str | None = None,
        force: bool = False,
        override_outputs: Mapping[str, Any] | None = None,
        reason: str | None = None,
        actor: str = "user",
    ) -> int:
        """Open a new run of a completed job; arguments as `retry`.

        Raises:
            OptionError: Neither `from_step` nor `force` nor an output is given, so that nothing
                would run.
            HeadraceError: As `retry`; a job that has not completed is refused.
        """
        if from_step is None and not force and not override_outputs:
            raise OptionError("from_step", "give a step to start from, or force=True")
        again = self._rerun(from_step, override_outputs, force=force)
        allowed = frozenset({JobState.COMPLETED})
        return await self._reopen(job, allowed, again, reason=reason, actor=actor, word="replayed")

    async def redrive(
        self,
        wanted: DeadLetterFilter,
        *,
        dry_run: bool = False,
        limit: int = 1_000,
        per_second: float = REDRIVE_PER_SECOND,
        from_step: str | None = None,
        force: bool = False,
        reason: str | None = None,
        actor: str = "user",
    ) -> Redriven:
        """Retry failed jobs by a filter, oldest last.

        Args:
            wanted: Which dead letters.
            dry_run: Only count them.
            limit: Most jobs, 1 to 1,000; call it again for more.
            per_second: Most jobs a second, 1 to 1,000.
            from_step: As `retry`.
            force: As `retry`.
            reason: As `retry`.
            actor: As `retry`.
        """
        if not 1 <= per_second <= REDRIVE_FASTEST:
            raise OptionError("per_second", f"{per_second:g} is not in 1 to {REDRIVE_FASTEST:g}")
        letters = (await self.list_dead_letters(wanted, limit=limit)).items
        if dry_run:
            return Redriven(len(letters), {}, 0)
        runs: dict[str, int] = {}
        for place, letter in enumerate(letters):
            if place:
                await asyncio.sleep(1 / per_second)
            with contextlib.suppress(TransitionError, JobNotFoundError, UndoError):
                runs[letter.job] = await self.retry(
                    letter.job, from_step=from_step, force=force, reason=reason, actor=actor
                )
        return Redriven(len(letters), runs, len(letters) - len(runs))

    async def _reopen(
        self,
        job: str | UUID,
        allowed: frozenset[JobState],
        again: Rerun,
        *,
        reason: str | None,
        actor: str,
        word: str,
    ) -> int:
        key = parse_id(job)
        details = {
            "reason": reason,
            "from_step": again.from_step,
            "force": again.force or None,
            "override_outputs": sorted(again.overrides) or None,
        }
        kept = {name: value for name, value in details.items() if value is not None}
        async with self._connections.use() as connection:
            ended, run = await operations.reopen_job(
                connection,
                key,
                allowed=allowed,
                again=lambda ended, definition: again.plan(
                    ended, self._pipelines.get(ended.pipeline), definition
                ),
                actor=actor,
                word=word,
                metadata=orjson.dumps(kept).decode() if kept else None,
                head_start=self._limits().head_start,
            )
        self._broker.echo(ended.queue)
        emit(
            JobRedriven(
                job_id=key,
                run=run,
                pipeline=ended.pipeline,
                version=ended.version,
                actor=actor,
                reason=reason or word,
                from_step=again.from_step,
            )
        )
        return run

    def _rerun(
        self, from_step: str | None, overrides: Mapping[str, Any] | None, *, force: bool
    ) -> Rerun:
        return Rerun(
            from_step, dict(overrides or {}), self._limits().max_payload_bytes, force=force
        )

    # --- queues and workers -----------------------------------------------------------------------

    async def pause_queue(
        self, queue: str, *, reason: str | None = None, actor: str = "user"
    ) -> None:
        """Close a queue: what runs there finishes, nothing more is started.

        Raises:
            QueueNotFoundError: There is no such queue.
        """
        async with self._connections.use() as connection:
            await self._check_queue(connection, queue)
            await operations.pause_queue(connection, queue, by=actor, reason=reason)

    async def limit_queue(self, queue: str, most: int | None, *, actor: str = "user") -> int | None:
        """Set how many jobs of a queue run at once, over all workers.

        What runs already counts, and is not stopped.

        Args:
            queue: Which.
            most: 1 to 10,000; None for any number.
            actor: Who does it, for the event.

        Returns:
            The limit before.

        Raises:
            QueueNotFoundError: There is no such queue.
            OptionError: It is no such number.
            UnavailableError: Somebody's transaction held claims up for 2 s; nothing has changed.
        """
        check_limit(most)
        async with self._connections.use() as connection:
            await self._check_queue(connection, queue)
            before = await gates.limit_queue(connection, queue, most)
        emit(QueueLimited(queue=queue, concurrency=most, actor=actor))
        return before

    async def limit_tenant(
        self, tenant: str, most: int | None, *, reason: str | None = None, actor: str = "user"
    ) -> int | None:
        """As `limit_queue`, for all jobs of a tenant, which need not have any yet.

        Raises:
            OptionError: The name cannot be one, or it is no such number.
        """
        check_text("tenant", tenant)
        check_limit(most)
        async with self._connections.use() as connection:
            before = await gates.limit_tenant(connection, tenant, most, by=actor, reason=reason)
        emit(TenantLimited(tenant=tenant, concurrency=most, actor=actor))
        return before

    async def list_tenants(self) -> list[TenantLimit]:
        """The tenants that have a limit, with what of it is in use, by name."""
        async with self._connections.use() as connection:
            return await gates.list_tenants(connection)

    async def resume_queue(self, queue: str) -> bool:
        """Open a queue again; False where it was not paused.

        Raises:
            QueueNotFoundError: There is no such queue.
        """
        async with self._connections.use() as connection:
            await self._check_queue(connection, queue)
            resumed = await operations.resume_queue(connection, queue)
        if resumed:
            self._broker.echo(queue)
        return resumed

    async def _check_queue(self, connection: Connection, queue: str) -> None:
        known = await reads.list_queue_names(connection)
        mine = (pipeline.queue for pipeline in self._pipelines.values())
        if queue not in known and queue not in mine:
            raise QueueNotFoundError(queue, known)

    async def drain_workers(self, workers: Sequence[int] | None = None) -> list[int]:
        """Ask workers to finish what they run and to end.

        Args:
            workers: Their numbers; None for all.

        Returns:
            The numbers of those that will.
        """
        async with self._connections.use() as connection:
            return await operations.drain_workers(connection, workers)


def _checked(limit: int) -> int:
    if not 1 <= limit <= PAGE_MOST:
        raise OptionError("limit", f"{limit} is not in 1 to {PAGE_MOST:,}")
    return limit


def _id_in(cursor: str) -> UUID:
    try:
        return UUID(cursor)
    except ValueError:
        raise OptionError("cursor", f"{cursor[:60]!r} is none of this listing") from None


def _place_in(cursor: str) -> tuple[datetime, UUID]:
    at, _, job = cursor.rpartition("_")
    try:
        return datetime.fromisoformat(at), UUID(job)
    except ValueError:
        raise OptionError("cursor", f"{cursor[:60]!r} is none of this listing") from None
