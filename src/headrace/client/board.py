"""The steps of one run as they are shown, put together from its rows."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from headrace.model.items import split_list
from headrace.model.job import JobState, StepState
from headrace.model.status import ErrorStatus, ItemStatus, Progress, StepStatus
from headrace.store.reads import loaded
from headrace.store.sql import SQL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeAlias

    import asyncpg

    from headrace.client.undone import Names
    from headrace.store.around import Around
    from headrace.store.pool import Connection

    Rows: TypeAlias = Sequence[asyncpg.Record]


async def read_board(connection: Connection, row: asyncpg.Record, names: Names) -> Board:
    """The steps of a job's present run.

    Args:
        connection: Where to read.
        row: The job's, as `reads.read_job` gives it.
        names: Those of the steps, with those that they had before.
    """
    job, run = row["id"], row["run"]
    steps = await connection.fetch(SQL["reads.read_steps"], job, run)
    tries = await connection.fetch(SQL["reads.read_tries"], job, run)
    running = []
    if row["state"] == JobState.RUNNING:
        running = await connection.fetch(SQL["reads.read_progress"], job, run, row["token"])
    return Board(row, names, steps, tries, running)


class Board:
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
