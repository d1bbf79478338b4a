"""A job as it is shown: its state, its steps (also those that did not start), its items."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from headrace.client.undone import undo_names
from headrace.model.items import split_list
from headrace.model.job import JobState, StepState
from headrace.model.status import (
    ErrorStatus,
    ItemStatus,
    Progress,
    StepStatus,
    UndoneStep,
    UndoStatus,
)
from headrace.model.undo import SUFFIX
from headrace.store.around import Around, read_around
from headrace.store.reads import loaded
from headrace.store.sql import SQL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from typing import TypeAlias
    from uuid import UUID

    import asyncpg

    from headrace.client.undone import Names
    from headrace.model.pipeline import Pipeline
    from headrace.model.status import ChildStatus, SignalStatus, WaitStatus
    from headrace.store.pool import Connection

    Rows: TypeAlias = Sequence[asyncpg.Record]

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
        names = await undo_names(connection, known, row["undo_of"], row["undo_run"])
    elif isinstance(known, dict):
        names = [(step["name"], step["was"]) for step in known["steps"]]
    else:
        names = [(step.name, step.was) for step in known.steps.values()]
        fixed = _fixed_keys(known)
    board = await _read_board(connection, row, names)
    around = board.without_ended(await read_around(connection, job, row["run"]))
    undo = await _read_undo(connection, row, known)
    return _job_status(row, board.steps(fixed), around, undo)


async def _read_board(connection: Connection, row: asyncpg.Record, names: Names) -> _Board:
    job, run = row["id"], row["run"]
    steps = await connection.fetch(SQL["reads.read_steps"], job, run)
    tries = await connection.fetch(SQL["reads.read_tries"], job, run)
    running = []
    if row["state"] == JobState.RUNNING:
        running = await connection.fetch(SQL["reads.read_progress"], job, run, row["token"])
    return _Board(row, names, steps, tries, running)


async def _read_undo(
    connection: Connection, row: asyncpg.Record, known: Pipeline[Any, Any] | dict[str, Any]
) -> UndoStatus | None:
    if row["state"] not in {JobState.FAILED, JobState.CANCELLED} or row["undo_of"] is not None:
        return None
    undo = await connection.fetchrow(SQL["undo.read_undo_job"], row["id"], row["run"])
    if undo is None:
        return None
    names = await undo_names(connection, known, row["id"], row["run"])
    board = await _read_board(connection, undo, names)
    steps = board.steps({})
    undone = (UndoneStep(step.name.removesuffix(SUFFIX), step.state) for step in steps)
    return UndoStatus(str(undo["id"]), JobState(undo["state"]), tuple(undone))


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


class _Board:
    """The rows of one run, by step and item; what has an earlier name of a step is the step's."""

    def __init__(
        self,
        job: asyncpg.Record,
        names: Sequence[tuple[str, Sequence[str]]],
        steps: Rows,
        tries: Rows,
        running: Rows,
    ) -> None:
        self._state = JobState(job["state"])
        self._error = error_of(loaded(job["error"]))
        self._names = [name for name, _ in names]
        self._owners = {old: name for name, was in names for old in was}
        self._stored = self._by_key(steps)
        self._tries = self._by_key(tries)
        self._running = self._by_key(running)

    def _by_key(self, rows: Rows) -> dict[tuple[str, str], asyncpg.Record]:
        owners = self._owners
        return {(owners.get(row["step"], row["step"]), row["item"]): row for row in rows}

    def steps(self, fixed: Mapping[str, Sequence[str]]) -> list[StepStatus]:
        """The steps of the definition, then what is stored of others.

        Args:
            fixed: The keys of items, by step, that are known before anything is stored.
        """
        others = dict.fromkeys(step for step, _ in self._stored if step not in self._names)
        return [self._step(name, fixed.get(name, ())) for name in (*self._names, *others)]

    def without_ended(self, around: Around) -> Around:
        """The same, without waits that are over; steps have the names that they have now."""
        if self._state.is_final:
            return replace(around, waits=(), waits_total=0)
        renamed = (
            replace(wait, step=self._owners.get(wait.step, wait.step)) for wait in around.waits
        )
        waits = tuple(wait for wait in renamed if (wait.step, wait.item or "") not in self._stored)
        return replace(
            around, waits=waits, waits_total=around.waits_total - len(around.waits) + len(waits)
        )

    def _step(self, name: str, fixed: Sequence[str]) -> StepStatus:
        row = self._stored.get((name, ""))
        if row is None and fixed:
            return self._fan(name, fixed)
        if row is not None and row["plan"] is not None:
            return self._fan(name, keys_of(row["plan"]))
        whole = self._item(name, "")
        return StepStatus(
            name,
            whole.state,
            whole.attempts,
            whole.latency_ms,
            whole.finished_at,
            whole.reused_from,
            whole.reason,
            whole.error,
            whole.next_try_at,
            whole.progress,
            metadata=whole.metadata,
        )

    def _fan(self, name: str, keys: Sequence[str]) -> StepStatus:
        items = tuple(self._item(name, key) for key in keys)
        state = self._sum_up(name, items)
        ends = [item.finished_at for item in items if item.finished_at]
        return StepStatus(
            name,
            state,
            max((item.attempts for item in items), default=0),
            sum(item.latency_ms or 0.0 for item in items),
            max(ends) if len(ends) == len(items) and ends else None,
            next((item.reused_from for item in items if item.reused_from), None),
            None,
            next((item.error for item in items if item.error and state != "completed"), None),
            min((item.next_try_at for item in items if item.next_try_at), default=None),
            None,
            items,
        )

    def _item(self, step: str, key: str) -> ItemStatus:
        row = self._stored.get((step, key))
        tried = self._tries.get((step, key))
        if row is not None:
            return ItemStatus(
                key,
                StepState(row["state"]),
                row["attempts"],
                row["latency_us"] / 1000,
                row["finished_at"],
                row["reused_from"],
                row["reason"],
                _item_error(loaded(row["error"]), step, key),
                metadata=loaded(row["metadata"]),
            )
        running = self._running.get((step, key))
        return ItemStatus(
            key,
            self._open_state(step, key, is_running=running is not None),
            attempts=0 if tried is None else tried["attempt"],
            error=None
            if tried is None
            else ErrorStatus(tried["code"], tried["class"], tried["message"], step, key or None),
            next_try_at=None if tried is None or self._state.is_final else tried["due_at"],
            progress=None if running is None else _progress_of(running),
        )

    def _open_state(self, step: str, key: str, *, is_running: bool) -> StepState:
        if is_running:
            return StepState.RUNNING
        error = self._error
        if self._state is JobState.FAILED and error and error.step == step:
            return StepState.FAILED if (error.item or "") == key else StepState.PENDING
        return StepState.SKIPPED if self._state is JobState.CANCELLED else StepState.PENDING

    def _sum_up(self, name: str, items: Sequence[ItemStatus]) -> StepState:
        if self._state is JobState.FAILED and self._error and self._error.step == name:
            return StepState.FAILED
        # An item that failed, and did not fail the job, is one that the job could do without.
        states = {item.state for item in items}
        if states <= {StepState.COMPLETED, StepState.FAILED, StepState.SKIPPED}:
            return StepState.SKIPPED if states == {StepState.SKIPPED} else StepState.COMPLETED
        if states.isdisjoint({StepState.RUNNING, StepState.COMPLETED, StepState.FAILED}):
            return StepState.PENDING
        return StepState.RUNNING


def _progress_of(row: asyncpg.Record) -> Progress:
    return Progress(row["started_at"], row["updated_at"], row["done"], row["total"], row["note"])


def _item_error(stored: Mapping[str, Any] | None, step: str, key: str) -> ErrorStatus | None:
    """The error of an item that failed for good, where others may do without it."""
    if not stored:
        return None
    return ErrorStatus(stored["code"], stored["kind"], stored["message"], step, key)


def keys_of(plan: str) -> list[str]:
    """The keys of a fan-out's items, in order."""
    return [str(json.loads(pair)[0]) for pair in split_list(plan)]


def error_of(stored: Mapping[str, Any] | None) -> ErrorStatus | None:
    """The error that is stored with a job."""
    if not stored:
        return None
    return ErrorStatus(
        str(stored.get("code", "INTERNAL_ERROR")),
        stored.get("class"),
        str(stored.get("message", "")),
        stored.get("step"),
        stored.get("item"),
    )


def _share(step: StepStatus) -> float:
    if step.items:
        ended = (item.finished_at is not None or item.state in DONE for item in step.items)
        return sum(ended) / len(step.items)
    return float(step.state in DONE)


def _job_status(
    row: asyncpg.Record, steps: Sequence[StepStatus], around: Around, undo: UndoStatus | None
) -> JobStatus:
    state = JobState(row["state"])
    queued = state is JobState.QUEUED
    shares = [_share(step) for step in steps]
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
        progress=1.0
        if state is JobState.COMPLETED
        else sum(shares) / len(shares)
        if shares
        else 0.0,
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
