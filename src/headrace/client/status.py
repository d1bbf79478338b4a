"""A job as it is shown: its state, its steps (also those that did not start), its items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from headrace.client.board import error_of, read_board
from headrace.client.undone import undo_names
from headrace.model.job import JobState, StepState
from headrace.model.status import (
    ErrorStatus,
    StepStatus,
    UndoneStep,
    UndoStatus,
)
from headrace.model.undo import SUFFIX
from headrace.store.around import Around, read_around
from headrace.store.reads import loaded
from headrace.store.sql import SQL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from uuid import UUID

    import asyncpg

    from headrace.model.pipeline import Pipeline
    from headrace.model.status import ChildStatus, SignalStatus, WaitStatus
    from headrace.store.pool import Connection

DONE: Final = frozenset({StepState.COMPLETED, StepState.SKIPPED})


@dataclass(frozen=True, slots=True)
class JobStatus:
    """Everything that is shown of a job, but its input and its outputs."""

    id: str
    pipeline: str
    version: str
    queue: str
    tenant: str
    owner: str
    state: JobState
    wait_reason: str | None
    """Why it is queued; None in other states."""
    due_at: datetime | None
    """When it may start, where it is queued."""
    deadline: datetime | None
    priority: int
    run: int
    lease_losses: int
    worker: int | None
    cancel_requested_at: datetime | None
    cancelled_by: str | None
    cancel_reason: str | None
    cause: str | None
    """A `FailureCause`, where it failed."""
    error: ErrorStatus | None
    """Why it failed, or why it waits for its next try."""
    preset: str | None
    parameters: dict[str, Any] | None
    metadata: dict[str, Any] | None
    correlation_id: str | None
    idempotency_key: str | None
    parent_job: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    steps: tuple[StepStatus, ...]
    progress: float
    """The share of its steps that are done, 0 to 1; a fan-out's items count in part."""
    ordering_key: str | None = None
    """Jobs of its tenant with this key run one at a time, in the order of their acceptance."""
    concurrency_key: str | None = None
    """Few of its pipeline's jobs with this key run at once."""
    blocked_by: str | None = None
    """What keeps it from running where it is due: `ordering_key`, `concurrency_key`, or the
    `tenant_limit`, `queue_limit` or `pipeline_limit`; None where nothing was seen to."""
    waits: tuple[WaitStatus, ...] = ()
    """What its steps wait for besides their inputs: the first 100, signals and delays before
    children; none once the run has ended."""
    waits_total: int = 0
    """How many there are, counted up to 10,000."""
    signals: tuple[SignalStatus, ...] = ()
    """What was sent to the present run, oldest first."""
    children: tuple[ChildStatus, ...] = ()
    """The first 100 jobs that its steps submitted, in any run."""
    children_total: int = 0
    """How many there are, counted up to 10,000."""
    undo_of: str | None = None
    """The job that it undoes, of an undo job."""
    undo: UndoStatus | None = None
    """What undoes the run; None where it did not fail, or did nothing that has an undo."""

    @property
    def is_final(self) -> bool:
        """Whether the run has ended."""
        return self.state.is_final


async def read_status(
    connection: Connection, job: UUID, pipeline_of: Callable[[str], Pipeline[Any, Any] | None]
) -> JobStatus | None:
    """The status of a job, None where there is none.

    Args:
        connection: Where to read.
        job: The job.
        pipeline_of: The code of a pipeline by its name; where there is none, the steps of the
            registered definition are shown.
    """
    row = await connection.fetchrow(SQL["reads.read_job"], job)
    if row is None:
        return None
    pipeline = pipeline_of(row["pipeline"])
    known = pipeline or await _definition(connection, row["pipeline"], row["version"])
    fixed: dict[str, list[str]] = {}
    if row["undo_of"] is not None:
        names = undo_names(known, row["undo_steps"])
    elif isinstance(known, dict):
        names = [(step["name"], step["was"]) for step in known["steps"]]
    else:
        names = [(step.name, step.was) for step in known.steps.values()]
        fixed = _fixed_keys(known)
    board = await read_board(connection, row, names)
    around = board.without_ended(await read_around(connection, job, row["run"]))
    undo = await _read_undo(connection, row, known)
    return _job_status(row, board.steps(fixed), around, undo)


async def _read_undo(
    connection: Connection, row: asyncpg.Record, known: Pipeline[Any, Any] | dict[str, Any]
) -> UndoStatus | None:
    if row["state"] not in {JobState.FAILED, JobState.CANCELLED} or row["undo_of"] is not None:
        return None
    undo = await connection.fetchrow(SQL["undo.read_undo_job"], row["id"], row["run"])
    if undo is None:
        return None
    names = undo_names(known, undo["undo_steps"])
    board = await read_board(connection, undo, names)
    steps = board.steps({})
    state = JobState(undo["state"])
    ended = {StepState.PENDING: StepState.COMPLETED} if state is JobState.COMPLETED else {}
    undone = (
        UndoneStep(step.name.removesuffix(SUFFIX), ended.get(step.state, step.state))
        for step in steps  # those of a completed one are not kept as long as the job
    )
    return UndoStatus(str(undo["id"]), state, tuple(undone))


async def _definition(connection: Connection, pipeline: str, version: str) -> dict[str, Any]:
    text = await connection.fetchval(SQL["reads.read_definition"], pipeline, version)
    return loaded(text) or {"steps": []}


def _fixed_keys(pipeline: Pipeline[Any, Any]) -> dict[str, list[str]]:
    """The keys of the fan-outs over sequences that are known before they are planned."""
    return {
        step.name: [key for key, _ in step.each.items]
        for step in pipeline.steps.values()
        if step.each is not None and step.each.source_step is None
    }


def _share(step: StepStatus) -> float:
    if step.items:
        ended = (item.finished_at is not None or item.state in DONE for item in step.items)
        return sum(ended) / len(step.items)
    return float(step.state in DONE)


def _progress_of(state: JobState, steps: Sequence[StepStatus]) -> float:
    if state is JobState.COMPLETED:
        return 1.0
    return sum(map(_share, steps)) / len(steps) if steps else 0.0


def _job_status(
    row: asyncpg.Record, steps: Sequence[StepStatus], around: Around, undo: UndoStatus | None
) -> JobStatus:
    state = JobState(row["state"])
    queued = state is JobState.QUEUED
    return JobStatus(
        id=str(row["id"]),
        pipeline=row["pipeline"],
        version=row["version"],
        queue=row["queue"],
        tenant=row["tenant"],
        owner=row["owner"],
        state=state,
        wait_reason=row["wait_reason"] if queued else None,
        due_at=row["due_at"] if queued else None,
        deadline=row["deadline"],
        priority=row["priority"],
        run=row["run"],
        lease_losses=row["lease_losses"],
        worker=row["worker"],
        cancel_requested_at=row["cancel_requested_at"],
        cancelled_by=row["cancel_requested_by"],
        cancel_reason=row["cancel_reason"],
        cause=row["cause"],
        error=error_of(loaded(row["error"])),
        preset=row["preset"],
        parameters=loaded(row["parameters"]),
        metadata=loaded(row["metadata"]),
        correlation_id=row["correlation_id"],
        idempotency_key=row["idempotency_key"],
        parent_job=row["parent_job"] and str(row["parent_job"]),
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        steps=tuple(steps),
        progress=_progress_of(state, steps),
        ordering_key=row["ordering_key"],
        concurrency_key=row["concurrency_key"],
        blocked_by=row["blocked_by"],
        waits=around.waits,
        waits_total=around.waits_total,
        signals=around.signals,
        children=around.children,
        children_total=around.children_total,
        undo_of=row["undo_of"] and str(row["undo_of"]),
        undo=undo,
    )
