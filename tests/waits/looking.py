"""Looking at jobs that wait."""

from __future__ import annotations

from typing import Any

from headrace import JobHandle, JobState
from headrace.testing import Engine
from tests.waiting import eventually


async def until_waiting(job: JobHandle[Any], reason: str) -> None:
    """Return when a job is queued for this reason."""

    async def waits() -> bool:
        status = await job.status()
        return status.state is JobState.QUEUED and status.wait_reason == reason

    await eventually(waits, within=30)


async def until_state(job: JobHandle[Any], state: str) -> None:
    """Return when a job is in a state."""

    async def is_there() -> bool:
        return (await job.status()).state == state

    await eventually(is_there, within=30)


async def children_of(engine: Engine, job: JobHandle[Any]) -> list[str]:
    """The ids of the jobs that steps of a job submitted, oldest first."""
    async with engine.connection() as connection:
        rows = await connection.fetch(
            "select id from headrace.jobs where parent_job = $1::uuid order by id", job.id
        )
    return [str(row["id"]) for row in rows]


async def rows_of(engine: Engine, table: str, job: JobHandle[Any]) -> list[dict[str, Any]]:
    """What a table of waits holds of a job."""
    async with engine.connection() as connection:
        rows = await connection.fetch(
            f"select * from headrace.{table} where job = $1::uuid",  # noqa: S608 - the test's words
            job.id,
        )
    return [dict(row) for row in rows]


async def claims_of(engine: Engine, job: JobHandle[Any]) -> int:
    """How often a job was claimed."""
    return sum(event.to_state == "running" for event in await engine.events(job))


async def bound_children(engine: Engine) -> list[str]:
    """The ids of all children that have not ended."""
    async with engine.connection() as connection:
        rows = await connection.fetch("select child from headrace.children order by child")
    return [str(row["child"]) for row in rows]
