"""Runs jobs whose worker has little time: a step starts if it will end within that.

The time begins with the first step. What does not fit goes back to its queue, to go on from what is
stored, and no attempt is used. A step that is resumable may start whenever there is some time left,
and is cut off at the end.
"""

from __future__ import annotations

import contextlib
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from headrace.errors import DatabaseUnavailableError
from headrace.store.children import due_queues
from headrace.store.entries import Committed, End, Release
from headrace.store.sql import SQL
from headrace.telemetry.events import emit
from headrace.telemetry.worker_events import PipelineTooLong
from headrace.worker.executor import Executor
from headrace.worker.life import Life
from headrace.worker.run import Stop

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping
    from uuid import UUID

    from headrace.model.pipeline import Pipeline
    from headrace.model.step import Step
    from headrace.store.entries import Entry
    from headrace.worker.parts import Parts
    from headrace.worker.run import JobRun
    from headrace.worker.settling import Policy

REASON: Final = "slice"
LEAST: Final = 0.1
"""Part of a slice that must be left for a resumable step to begin: less is not worth its start."""


class TooLong(NamedTuple):
    """A step that fits into no slice."""

    pipeline: str
    step: str
    limit_s: float


def fitting(
    pipelines: Mapping[str, Pipeline[Any, Any]], *, slice_s: float, step_timeout_s: float
) -> tuple[dict[str, Pipeline[Any, Any]], list[TooLong]]:
    """The pipelines whose steps all fit into a slice, and the steps for which others do not."""
    fit, found = {}, []
    for name, pipeline in pipelines.items():
        long = [
            TooLong(name, step.name, limit_s)
            for step in pipeline.steps.values()
            if (limit_s := limit_of(step, step_timeout_s)) > slice_s and not step.resumable
        ]
        found += long
        if not long:
            fit[name] = pipeline
    return fit, found


def tell_too_long(found: list[TooLong], slice_s: float) -> None:
    """Report the pipelines that are not worked for, once for each step that is the reason."""
    for long in found:
        emit(
            PipelineTooLong(
                pipeline=long.pipeline, step=long.step, limit_s=long.limit_s, slice_s=slice_s
            )
        )


def limit_of(step: Step, step_timeout_s: float) -> float:
    """The limit of one try of a step, in seconds."""
    return step_timeout_s if step.timeout is None else step.timeout.total_seconds()


class SlicedExecutor(Executor):
    """An executor whose time is over at some moment.

    Attributes:
        handed_back: Queues of the jobs that others could go on with now, one for each.
        gone: Jobs that ended, or that wait for others: whose parents, or who, may go on by now.
    """

    def __init__(self, *given: Any, slice_s: float, **more: Any) -> None:
        """As `Executor`, with the seconds from the first step on."""
        super().__init__(*given, **more)
        self._slice_s = slice_s
        self._ends_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.handed_back: list[str] = []
        self.gone: list[UUID] = []

    def _launch(self, run: JobRun, step: Step, item: str, now: float) -> None:
        if self._fits(step, self._begin_slice(now) - now):
            super()._launch(run, step, item, now)
            return
        if item:
            run.fans[step.name].running -= 1
        run.put_back(step, item)
        run.stop = run.stop or Stop(REASON)

    def _collect(self, run: JobRun, step: Step, item: str, child: str, now: float) -> None:
        self._begin_slice(now)  # at whose end it is cut off: the next one begins anew
        super()._collect(run, step, item, child, now)

    def _begin_slice(self, now: float) -> float:
        """When the slice ends, which begins now if it has not."""
        if self._ends_at is None:
            self._ends_at = now + self._slice_s
            self._timer = self._loop.call_later(self._slice_s, self._end_slice)
        return self._ends_at

    def _fits(self, step: Step, left_s: float) -> bool:
        if limit_of(step, self._step_timeout_s) <= left_s:
            return True
        return step.resumable and left_s >= self._slice_s * LEAST

    def _end_slice(self) -> None:
        """Cut off what may be; the rest is within its own limit, which ends by now."""
        for run in list(self.runs.values()):
            run.stop = run.stop or Stop(REASON)
            for attempt in list(run.running.values()):
                if attempt.step.resumable or attempt.child is not None:
                    attempt.cancel("shutdown", monotonic())
            self.advance(run)

    def _committed(self, run: JobRun, entry: Entry, outcome: Committed) -> None:
        move = entry.move
        if isinstance(move, Release) and not move.wait_s and outcome.state == "queued":
            self.handed_back.append(run.claim.queue)
        elif isinstance(move, End) or (move is not None and (move.signals or move.children)):
            self.gone.append(run.claim.job)
        super()._committed(run, entry, outcome)

    def end(self) -> None:
        """Forget the end of the slice: nothing runs any more."""
        if self._timer is not None:
            self._timer.cancel()


class SlicedLife(Life):
    """A life that takes one job, and works on it for one slice.

    Args:
        parts: What it is made of.
        slice_s: Seconds for steps.
    """

    executor: SlicedExecutor

    def __init__(self, parts: Parts, *, slice_s: float) -> None:
        super().__init__(parts, most=1)
        self._slice_s = slice_s
        self._due: list[str] = []

    def _make_executor(self, policy: Policy) -> SlicedExecutor:
        return SlicedExecutor(
            self._make_engine(),
            self.ledger,
            policy,
            on_room=self._ring,
            ask_lease=self._has_lease,
            slice_s=self._slice_s,
        )

    async def end(self) -> None:
        """As `Life.end`."""
        self.executor.end()
        await self._find_due()
        await super().end()
        if not self.lost:
            # There is one for each request: kept for a day, they would be looked through all day.
            with contextlib.suppress(DatabaseUnavailableError):
                async with self._parts.pool.acquire() as connection:
                    await connection.execute(SQL["workers.forget_worker"], self.number)

    async def _find_due(self) -> None:
        """Learn who was woken inside the database, whose notifications nobody hears."""
        gone = self.executor.gone
        if gone and self._parts.broker is not None and not self.lost:
            with contextlib.suppress(DatabaseUnavailableError):
                async with self._parts.pool.acquire() as connection:
                    self._due = await due_queues(connection, gone)

    def _ring_for_released(self) -> None:
        broker = self._parts.broker
        if broker is not None:
            for queue in (*self.executor.handed_back, *self._due):
                broker.ring(queue)
