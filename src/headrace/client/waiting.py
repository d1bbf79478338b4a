"""Waiting for a job: level-triggered, so that no wake-up can be missed."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

from headrace.client.board import error_of, keys_of
from headrace.errors import (
    CheckpointCorruptError,
    DatabaseUnavailableError,
    JobCancelledError,
    JobFailedError,
    JobNotFoundError,
    NotCompletedError,
)
from headrace.model.duration import to_timedelta
from headrace.model.item_result import result_text
from headrace.model.job import JobState
from headrace.store.reads import loaded, read_history
from headrace.store.sql import SQL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from uuid import UUID

    import asyncpg

    from headrace.model.duration import Duration
    from headrace.model.pipeline import Pipeline
    from headrace.store.artifacts import ArtifactStore
    from headrace.store.connections import Connections
    from headrace.store.pool import Connection
    from headrace.store.reads import HistoryEntry

FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 1.0
GROWTH: Final = 1.5


class Pauses:
    """Pauses between two looks: 50 ms, growing by half up to a second, never past a limit."""

    def __init__(self, timeout: Duration | None) -> None:
        """Begin.

        Args:
            timeout: For how long `wait` may be called; None for ever.
        """
        self._pause_s = FIRST_PAUSE_S
        self._end: float | None = None
        if timeout is not None:
            limit = to_timedelta(timeout, "timeout")
            self._end = asyncio.get_running_loop().time() + limit.total_seconds()

    async def wait(self) -> None:
        """Pause.

        Raises:
            TimeoutError: The limit is over.
        """
        pause = self._pause_s
        if self._end is not None:
            left = self._end - asyncio.get_running_loop().time()
            if left <= 0:
                raise TimeoutError("the job has not ended in time; it goes on")
            pause = min(pause, left)
        await asyncio.sleep(pause)
        self._pause_s = min(self._pause_s * GROWTH, LONGEST_PAUSE_S)


async def wait_for_result(
    connections: Connections,
    job: UUID,
    timeout: Duration | None,
    pipeline_of: Callable[[str], Pipeline[Any, Any] | None],
    artifacts: ArtifactStore | None,
) -> Any:  # noqa: ANN401 - of the pipeline's output type
    """The result of a job, once it completes; see `JobHandle.result`."""
    pauses = Pauses(timeout)
    while True:
        try:
            async with connections.use() as connection:
                row = await connection.fetchrow(SQL["reads.read_outcome"], job)
                if row is None:
                    raise JobNotFoundError(job)
                if _has_completed(job, row):
                    return await _read_result(connection, job, row, pipeline_of, artifacts)
        except DatabaseUnavailableError:
            if connections.closed:
                raise
        await pauses.wait()


async def read_result_text(
    connections: Connections,
    job: UUID,
    pipeline_of: Callable[[str], Pipeline[Any, Any] | None],
    artifacts: ArtifactStore | None,
) -> str:
    """The result of a job that has ended, as its stored JSON.

    Raises:
        JobFailedError: It failed.
        JobCancelledError: It was cancelled.
        NotCompletedError: It has not ended, or was erased.
        JobNotFoundError: There is no such job.
    """
    async with connections.use() as connection:
        row = await connection.fetchrow(SQL["reads.read_outcome"], job)
        if row is None:
            raise JobNotFoundError(job)
        if not _has_completed(job, row):
            raise NotCompletedError(job, row["state"])
        return await read_output(connection, job, row, pipeline_of(row["pipeline"]), artifacts)


async def follow(connections: Connections, job: UUID, *, after: int) -> AsyncIterator[HistoryEntry]:
    """The transitions of a job after `after`, until one is final."""
    pauses = Pauses(None)
    seen = after
    while True:
        entries, is_over = [], False
        try:
            async with connections.use() as connection:
                row = await connection.fetchrow(SQL["reads.read_outcome"], job)
                if row is None:
                    raise JobNotFoundError(job)
                # Read before its history: whatever made it final is in there.
                is_over = JobState(row["state"]).is_final
                entries = await read_history(connection, job, after=seen)
        except DatabaseUnavailableError:
            if connections.closed:
                raise
        for entry in entries:
            seen = entry.seq
            yield entry
        if is_over:
            return
        if entries:
            pauses = Pauses(None)
        await pauses.wait()


def _has_completed(job: UUID, row: asyncpg.Record) -> bool:
    state = JobState(row["state"])
    if state is JobState.FAILED:
        error = error_of(loaded(row["error"]))
        message, code = (error.message, error.code) if error else ("", "")
        raise JobFailedError(job, row["cause"], message, code)
    if state is JobState.CANCELLED:
        raise JobCancelledError(job)
    return state is JobState.COMPLETED


async def _read_result(
    connection: Connection,
    job: UUID,
    row: asyncpg.Record,
    pipeline_of: Callable[[str], Pipeline[Any, Any] | None],
    artifacts: ArtifactStore | None,
) -> Any:  # noqa: ANN401
    if row["result_step"] is None:  # an undo job has none
        return None
    pipeline = pipeline_of(row["pipeline"])
    text = await read_output(connection, job, row, pipeline, artifacts)
    return loaded(text) if pipeline is None else pipeline.result.decode(text)


async def read_output(
    connection: Connection,
    job: UUID,
    row: asyncpg.Record,
    pipeline: Pipeline[Any, Any] | None,
    artifacts: ArtifactStore | None,
    *,
    shown: Callable[[str, str], str] = lambda _, message: message,
) -> str:
    """The result as JSON: a step's output, or the list of its items'.

    Args:
        connection: Where to read.
        job: The job, which has completed.
        row: Its `reads.read_outcome`.
        pipeline: Its code; None where there is none.
        artifacts: Where large outputs lie.
        shown: Turns the code and the message of a failed item into what is shown of the message.
    """
    if row["result_step"] is None:
        return "null"
    step = None if pipeline is None else pipeline.steps.get(row["result_step"])
    names = [row["result_step"], *(step.was if step else ())]
    rows = await connection.fetch(SQL["reads.read_outputs"], job, row["run"], names)
    rows.sort(key=lambda found: -names.index(found["step"]))  # its newest name counts
    stored = {found["item"]: found for found in rows}
    if "" not in stored:
        raise NotCompletedError(job, "erased")
    if stored[""]["state"] != "planned":
        return await _text_of(stored[""], artifacts)
    keys = keys_of(stored[""]["output"])
    texts = [await _text_of(stored[key], artifacts) for key in keys]
    if await _has_results(connection, row, pipeline):
        texts = [
            result_text(key, _error_text(text, shown), failed=True)
            if stored[key]["state"] == "failed"
            else result_text(key, text, failed=False)
            for key, text in zip(keys, texts, strict=True)
        ]
    return f"[{','.join(texts)}]"


async def _has_results(
    connection: Connection, row: asyncpg.Record, pipeline: Pipeline[Any, Any] | None
) -> bool:
    """Whether the items of the result's step may fail."""
    name = row["result_step"]
    if pipeline is not None and name in pipeline.steps:
        each = pipeline.steps[name].each
        return each is not None and each.at_least is not None
    text = await connection.fetchval(SQL["reads.read_definition"], row["pipeline"], row["version"])
    steps = (loaded(text) or {"steps": ()})["steps"]
    return any(step["name"] == name and step.get("at_least") is not None for step in steps)


def _error_text(stored: str, shown: Callable[[str, str], str]) -> str:
    """An `ItemError` as JSON, of what is stored with a failed item."""
    error = loaded(stored)
    message = shown(error["code"], error["message"])
    return json.dumps({"code": error["code"], "kind": error["kind"], "message": message})


async def _text_of(row: asyncpg.Record, artifacts: ArtifactStore | None) -> str:
    if row["artifact"] is None:
        return "null" if row["output"] is None else str(row["output"])
    if artifacts is None:
        raise CheckpointCorruptError(str(row["artifact"]), "no artifact store is set")
    return await artifacts.read(row["artifact"])
