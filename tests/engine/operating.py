"""What tests of operations share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace import JobHandle, Pipeline, Retry
from headrace.errors import JobFailedError

if TYPE_CHECKING:
    import asyncpg

    from headrace.testing import Engine

AGAIN = Retry(attempts=3, first=5, jitter=0, unless=(LookupError,))


class Calls(list[str]):
    """What was really called."""


async def run(engine: Engine, pipe: Pipeline[str, str], order: str, **options: Any) -> str:
    """What a job comes to: its result, or what it failed of."""
    job = await engine.submit(pipe, order, **options)
    await engine.run_until_empty(skip_waits=True)
    return await outcome_of(job)


async def outcome_of(job: JobHandle[str]) -> str:
    try:
        return await job.result()
    except JobFailedError as error:
        return f"failed: {error.message}"


async def rows(engine: Engine) -> list[asyncpg.Record]:
    """What is known of all keys."""
    async with engine.connection() as connection:
        return await connection.fetch("select * from headrace.operations order by tenant, key")
