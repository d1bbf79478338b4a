"""What is stored of jobs, as typed rows: for looking at what the engine did."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import orjson

from headrace.model.job import JobState
from headrace.store.sql import SQL

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    import asyncpg

    from headrace.model.context import JsonValue
    from headrace.store.pool import Connection

    JsonObject: TypeAlias = Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """A job as it is now."""

    id: str
    queue: str
    pipeline: str
    version: str
    tenant: str
    owner: str
    state: JobState
    wait_reason: str
    """Why it is, or was last, queued."""
    priority: int
    run: int
    due_at: datetime
    worker: int | None
    token: int | None
    """Of its newest claim."""
    lease_losses: int
    suspicion: int
    """1 once a worker that held it died, 2 while it is run alone for that."""
    cause: str | None
    error: JsonObject | None
    result_step: str | None
    input: JsonValue
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRow:
    """A checkpoint: the output of a step or item, or the plan of a fan-out."""

    run: int
    step: str
    item: str | None
    state: str
    """`completed`, `skipped`, `planned` for the items of a fan-out, or `failed` for one of them
    that `at_least` lets fail: its output is the error."""
    attempts: int
    worker: int
    token: int
    latency: timedelta
    finished_at: datetime
    reused_from: int | None
    output: JsonValue
    artifact: JsonObject | None
    """Where an output lies that is too large for the row."""
    reason: str | None
    metadata: JsonObject | None
    """What the step said of itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordRow:
    """What `once` stored."""

    run: int
    step: str
    item: str | None
    name: str
    worker: int
    token: int
    latency: timedelta
    finished_at: datetime
    output: JsonValue
    artifact: JsonObject | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TryRow:
    """A try that failed, or that asked to be put off."""

    run: int
    step: str
    item: str | None
    attempt: int
    kind: str
    """Its error class, as `timeout` or `rate_limited`."""
    code: str
    message: str
    detail: str | None
    worker: int
    token: int
    latency: timedelta
    failed_at: datetime
    due_at: datetime | None
    """When the next try may start; None where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """A transition of a job."""

    seq: int
    run: int
    from_state: str | None
    to_state: str
    reason: str
    actor: str | None
    worker: int | None
    token: int | None
    at: datetime
    metadata: JsonObject | None


async def read_jobs(
    connection: Connection,
    *,
    queue: str | None = None,
    pipeline: str | None = None,
    state: str | None = None,
    job: UUID | None = None,
) -> list[JobRow]:
    """The jobs, oldest first."""
    rows = await connection.fetch(SQL["testing.jobs"], queue, pipeline, state, job)
    return [
        JobRow(**{**_fields(row), "id": str(row["id"]), "state": JobState(row["state"])})
        for row in rows
    ]


async def read_steps(connection: Connection, job: UUID) -> list[StepRow]:
    """The checkpoints of a job, oldest first."""
    return [StepRow(**_fields(row)) for row in await connection.fetch(SQL["testing.steps"], job)]


async def read_records(connection: Connection, job: UUID) -> list[RecordRow]:
    """The `once` records of a job, oldest first."""
    rows = await connection.fetch(SQL["testing.records"], job)
    return [RecordRow(**_fields(row)) for row in rows]


async def read_tries(connection: Connection, job: UUID) -> list[TryRow]:
    """The tries of a job that failed, oldest first."""
    return [TryRow(**_fields(row)) for row in await connection.fetch(SQL["testing.tries"], job)]


async def read_events(connection: Connection, job: UUID) -> list[EventRow]:
    """The transitions of a job, in order."""
    return [EventRow(**_fields(row)) for row in await connection.fetch(SQL["testing.events"], job)]


JSON: Final = frozenset({"output", "artifact", "error", "input", "metadata"})


def _fields(row: asyncpg.Record) -> dict[str, Any]:
    return dict(_field(name, value) for name, value in row.items())


def _field(name: str, value: Any) -> tuple[str, Any]:  # noqa: ANN401 - a column of any type
    if name == "class":
        return "kind", value
    if name == "item":
        return name, value or None
    if name == "latency_us":
        return "latency", timedelta(microseconds=value)
    if name in JSON and isinstance(value, str):
        return name, orjson.loads(value)
    return name, value
