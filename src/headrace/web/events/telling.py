"""Events as clients get them: an id, a name and JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple
from uuid import UUID

import orjson
from pydantic import BaseModel, Field

from headrace.client.board import error_of
from headrace.client.waiting import read_output
from headrace.errors import CheckpointCorruptError, NotCompletedError
from headrace.store.following import measure_result
from headrace.store.reads import loaded
from headrace.store.sql import SQL
from headrace.web.views.errors import shown_error, shown_message
from headrace.web.views.jobs import AN_ID

if TYPE_CHECKING:
    from collections.abc import Mapping

    import asyncpg

    from headrace.model.pipeline import Pipeline
    from headrace.store.following import Place
    from headrace.store.pool import Connection

RESULT_MOST: Final = 64 * 1024
"""Bytes of the largest result that comes with its event; a larger one has to be fetched."""
Name = Literal["state", "step", "signal", "progress", "result"]


class Told(NamedTuple):
    """One event."""

    id: str
    event: str
    data: dict[str, Any]

    def frame(self) -> bytes:
        """The event as a stream carries it."""
        data = orjson.dumps(self.data, option=orjson.OPT_UTC_Z)
        # JSON that was stored as it came may have line ends between its tokens, where they mean
        # nothing; in a stream they would end the event.
        data = data.replace(b"\r", b" ").replace(b"\n", b" ")
        return b"id: %b\nevent: %b\ndata: %b\n\n" % (self.id.encode(), self.event.encode(), data)


class EventView(BaseModel):
    """One thing that happened to a job."""

    id: str = Field(description="Where to go on: `Last-Event-ID`, or `after`.", examples=["2.1"])
    event: Name
    data: dict[str, Any] = Field(
        examples=[
            {"run": 1, "step": "parse", "item": None, "state": "completed"},
            {"run": 1, "name": "approval", "state": "received", "by": "ann"},
        ]
    )


class EventPage(BaseModel):
    """Part of what happened to a job, oldest first."""

    job_id: UUID = Field(examples=[AN_ID])
    items: list[EventView]
    next: str = Field(description="`after` of the next page, now or later.", examples=["2.1"])
    has_more: bool = Field(description="Whether the next page has events already.")
    has_ended: bool = Field(description="Whether the job has ended, and this page tells so.")


def tell(row: asyncpg.Record, place: Place) -> Told:
    """A row of `read_next` as an event; `place` is the one behind it. Not for a result."""
    kind = row["kind"]
    if kind == "state":
        return Told(str(place), "state", _state(row))
    if kind == "progress":
        return Told(str(place), "progress", _progress(row))
    if kind == "signal":
        return Told(str(place), "signal", _signal(row))
    return Told(str(place), "step", _STEPS.get(kind, _step)(row))


def _state(row: asyncpg.Record) -> dict[str, Any]:
    """As `HistoryView`."""
    details = orjson.loads(row["details"])
    return {
        "seq": row["seq"],
        "run": row["run"],
        "from_state": details["from_state"],
        "to_state": row["state"],
        "reason": row["reason"],
        "actor": details["actor"],
        "worker": row["worker"],
        "at": row["at"],
        "metadata": details["metadata"],
    }


def _step(row: asyncpg.Record) -> dict[str, Any]:
    is_plan = row["state"] == "planned"
    return {
        **_of_step(row),
        "state": "running" if is_plan else row["state"],
        "items": row["items"],
        "finished_at": None if is_plan else row["at"],
        "reused_from": row["reused_from"],
        "reason": row["reason"],
        "error": _error(row),
        "next_try_at": None,
        "waits_for": None,
    }


def _wait(row: asyncpg.Record) -> dict[str, Any]:
    """A step begins to wait for more than its inputs."""
    return {
        **_of_step(row),
        "latency_ms": None,
        "state": "pending",
        "items": None,
        "finished_at": None,
        "reused_from": None,
        "reason": None,
        "error": None,
        "next_try_at": None,
        "waits_for": {
            "kind": row["state"],
            "name": row["reason"],
            "since": row["at"],
            "until": row["other_at"],
        },
    }


def _signal(row: asyncpg.Record) -> dict[str, Any]:
    """As `JobSignal`: without the value."""
    return {
        "run": row["run"],
        "name": row["reason"],
        "state": row["state"],
        "at": row["at"],
        "by": loaded(row["details"])["by"],
        "reused_from": row["reused_from"],
    }


def _error(row: asyncpg.Record) -> dict[str, Any] | None:
    error = loaded(row["details"])
    return error and {
        "code": error["code"],
        "kind": error["kind"],
        "message": shown_message(error["code"], error["message"]),
    }


def _failed_try(row: asyncpg.Record) -> dict[str, Any]:
    return {
        **_of_step(row),
        "state": "failed" if row["other_at"] is None else "pending",
        "items": None,
        "finished_at": row["at"],
        "reused_from": None,
        "reason": None,
        "error": _error(row),
        "next_try_at": row["other_at"],
        "waits_for": None,
    }


_STEPS: Final = {"try": _failed_try, "wait": _wait}
"""What tells of a step, by the kind of row; of others, that it ended."""


def _of_step(row: asyncpg.Record) -> dict[str, Any]:
    return {
        "run": row["run"],
        "step": row["step"],
        "item": row["item"] or None,
        "attempts": row["attempts"],
        "latency_ms": row["latency_us"] / 1000,
    }


def _progress(row: asyncpg.Record) -> dict[str, Any]:
    return {
        "run": row["run"],
        "step": row["step"],
        "item": row["item"] or None,
        "started_at": row["other_at"],
        "updated_at": row["at"],
        **orjson.loads(row["details"]),
    }


async def tell_result(
    connection: Connection,
    job: UUID,
    row: asyncpg.Record,
    place: Place,
    pipelines: Mapping[str, Pipeline[Any, Any]],
) -> Told | None:
    """How a job ended; None if it goes on by now.

    Args:
        connection: Where to read.
        job: The job.
        row: That of `read_next`.
        place: The one behind it.
        pipelines: Their code, by name.
    """
    found = await connection.fetchrow(SQL["reads.read_outcome"], job)
    if found is None or (found["run"], found["state"]) != (row["run"], row["state"]):
        return None
    text = None
    if row["state"] == "completed":
        text = await _small_output(connection, job, found, pipelines.get(found["pipeline"]))
    data = {
        "run": row["run"],
        "state": row["state"],
        "finished_at": row["at"],
        "result": None if text is None else orjson.Fragment(text),
        "is_complete": text is not None,
        "href": f"/v1/jobs/{job}/result" if row["state"] == "completed" else None,
        "cause": found["cause"],
        "error": shown_error(error_of(loaded(found["error"]))),
    }
    return Told(str(place), "result", data)


async def _small_output(
    connection: Connection, job: UUID, found: asyncpg.Record, pipeline: Pipeline[Any, Any] | None
) -> str | None:
    """The result as JSON; None where it is large, an artifact, or erased."""
    step = None if pipeline is None else pipeline.steps.get(found["result_step"])
    names = [found["result_step"], *(step.was if step else ())]
    size = await measure_result(connection, job, found["run"], names)
    if size is None or size > RESULT_MOST:
        return None
    try:
        return await read_output(connection, job, found, pipeline, None, shown=shown_message)
    except (NotCompletedError, CheckpointCorruptError):
        return None
