"""The jobs that have not ended, and what they have stored: a new version has to go on with it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from headrace.store.sql import SQL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
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
    """A job that is queued or running."""

    id: UUID
    queue: str
    pipeline: str
    version: str
    input: str
    stored: tuple[StoredOutput, ...]


async def count_live(connection: HeldConnection) -> int:
    """About how many jobs are queued or running."""
    return int(await connection.fetchval(SQL["live.count_live"]) or 0)


async def live_jobs(connection: HeldConnection) -> AsyncIterator[list[LiveJob]]:
    """All jobs that are queued or running, as of the first page, in pages."""
    async with connection.transaction(readonly=True):
        cursor = await connection.cursor(SQL["live.live_jobs"])
        while rows := await cursor.fetch(PAGE):
            stored = await _stored(
                connection, [row["id"] for row in rows], [row["run"] for row in rows]
            )
            yield [
                LiveJob(
                    row["id"],
                    row["queue"],
                    row["pipeline"],
                    row["version"],
                    row["input"],
                    tuple(stored[row["id"]]),
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
