"""The jobs that have not ended, and what they have stored: a new version has to go on with it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from headrace.store.sql import SQL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from uuid import UUID

    from headrace.store.pool import HeldConnection

PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class StoredOutput:
    """What is stored of a step or item; `output` is None for an artifact."""

    step: str
    item: str
    state: str
    output: str | None


@dataclass(frozen=True, slots=True)
class LiveJob:
    """A job that is queued or running.

    Attributes:
        stored: Its outputs so far.
        received: The values that were sent to it, as JSON, by the signal's name.
        awaited: The signals that its steps wait for.
    """

    id: UUID
    queue: str
    pipeline: str
    version: str
    input: str
    stored: tuple[StoredOutput, ...]
    received: Mapping[str, str] = field(default_factory=dict)
    awaited: tuple[str, ...] = ()


async def count_live(connection: HeldConnection) -> int:
    """About how many jobs are queued or running."""
    return int(await connection.fetchval(SQL["live.count_live"]) or 0)


async def live_jobs(connection: HeldConnection) -> AsyncIterator[list[LiveJob]]:
    """All jobs that are queued or running, as of the first page, in pages."""
    async with connection.transaction(readonly=True):
        cursor = await connection.cursor(SQL["live.live_jobs"])
        while rows := await cursor.fetch(PAGE):
            runs = [row["id"] for row in rows], [row["run"] for row in rows]
            stored = await _stored(connection, *runs)
            received, awaited = await _signals(connection, *runs)
            yield [
                LiveJob(
                    row["id"],
                    row["queue"],
                    row["pipeline"],
                    row["version"],
                    row["input"],
                    tuple(stored[row["id"]]),
                    received[row["id"]],
                    tuple(awaited[row["id"]]),
                )
                for row in rows
            ]


async def _stored(
    connection: HeldConnection, jobs: list[UUID], runs: list[int]
) -> defaultdict[UUID, list[StoredOutput]]:
    stored: defaultdict[UUID, list[StoredOutput]] = defaultdict(list)
    for job, step, item, state, output, _ in await connection.fetch(
        SQL["claims.load_steps"], jobs, runs
    ):
        stored[job].append(StoredOutput(step, item, state, output))
    return stored


async def _signals(
    connection: HeldConnection, jobs: list[UUID], runs: list[int]
) -> tuple[defaultdict[UUID, dict[str, str]], defaultdict[UUID, list[str]]]:
    """What was sent to jobs, and what they wait for."""
    received: defaultdict[UUID, dict[str, str]] = defaultdict(dict)
    awaited: defaultdict[UUID, list[str]] = defaultdict(list)
    for job, name, value in await connection.fetch(SQL["claims.load_signals"], jobs, runs):
        if value is not None:
            received[job][name] = value
    for job, name in await connection.fetch(SQL["live.load_awaited"], jobs, runs):
        awaited[job].append(name)
    return received, awaited
