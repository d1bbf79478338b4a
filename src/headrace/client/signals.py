"""The signals of a job: what can be sent to it, what its steps wait for, what came."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from headrace.model.status import AwaitingStep, SignalInfo
from headrace.store.reads import loaded
from headrace.store.signalling import read_signals, read_waits
from headrace.store.sql import SQL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from headrace.model.pipeline import Pipeline
    from headrace.store.pool import Connection
    from headrace.store.signalling import Received, Wait


async def list_signals(
    connection: Connection, job: UUID, pipeline_of: Callable[[str], Pipeline[Any, Any] | None]
) -> list[SignalInfo] | None:
    """The signals of a job; None where there is no such job.

    Args:
        connection: Where to read.
        job: The job.
        pipeline_of: The code of a pipeline by its name; where there is none, the registered
            definition tells.
    """
    row = await connection.fetchrow(SQL["reads.read_job"], job)
    if row is None:
        return None
    pipeline = pipeline_of(row["pipeline"])
    if pipeline is not None:
        known: Mapping[str, dict[str, Any]] = {
            name: signal.codec.schema() for name, signal in pipeline.signals.items()
        }
    else:
        known = await _registered(connection, row["pipeline"], row["version"])
    received = {one.name: one for one in await read_signals(connection, job, row["run"])}
    waits = await read_waits(connection, job, row["run"])
    awaited = [wait for wait in waits if wait.kind == "signal"]
    names = dict.fromkeys([*known, *received, *(wait.name for wait in awaited)])
    return [_told(name, known.get(name), received.get(name), awaited) for name in names]


async def _registered(
    connection: Connection, pipeline: str, version: str
) -> Mapping[str, dict[str, Any]]:
    text = await connection.fetchval(SQL["reads.read_definition"], pipeline, version)
    signals = (loaded(text) or {}).get("signals", [])  # earlier releases told none
    return {signal["name"]: signal["schema"] for signal in signals}


def _told(
    name: str, schema: dict[str, Any] | None, sent: Received | None, waits: Sequence[Wait]
) -> SignalInfo:
    steps = tuple(
        AwaitingStep(wait.step, wait.item or None, wait.since, wait.until)
        for wait in waits
        if wait.name == name
    )
    if sent is None:
        state = "awaited" if steps else "open"
        return SignalInfo(name, state, steps, None, None, None, schema)
    return SignalInfo(
        name,
        "expired" if sent.value is None else "received",
        steps,
        sent.received_at,
        sent.sent_by,
        None if sent.value is None else json.loads(sent.value),  # with whole numbers of any size
        schema,
    )
