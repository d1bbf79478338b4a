"""What the OpenAPI document tells is so, whatever is asked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from headrace.testing import Engine
from headrace.web.app import create_api
from headrace.web.auth.identity import Scope
from headrace.web.events.hub import Pace
from tests.web.fuzzing import Target, Tried, fuzz
from tests.web.pipes import PIPELINES, Idea, decide, double, fragile, hold, large
from tests.web.serving import SETTINGS, Api, serve, who

CASES = 8
NUMBER = 4_711
SHORT = Pace(life=0.05, heartbeat=0.02)
"""Event streams that end before a client gets tired of them."""


@contextlib.asynccontextmanager
async def target(server: str) -> AsyncIterator[tuple[Api, Target]]:
    """An API with jobs in many states, inside an `async with` block."""
    engine = Engine(PIPELINES, server=server, settings=SETTINGS)
    async with engine, serve(engine, pace=SHORT) as api:
        jobs = await submit_jobs(engine)
        known = {
            "job_id": [{"job_id": str(job), "name": "fill"} for job in jobs],
            "name": [{"name": pipeline.name} for pipeline in PIPELINES],
            "pipeline": [
                {"pipeline": "double", "payload": 1},
                {"pipeline": "decide", "payload": {"title": "a", "size": 2}, "preset": "quick"},
            ],
            "from_step": [{"from_step": "twice"}, {"from_step": "handle"}, {"from_step": None}],
        }
        yield api, Target(api.url, await api.key(who("acme", "ann", *Scope)), known)


async def submit_jobs(engine: Engine) -> list[UUID]:
    """Jobs of one owner: completed, failed, with artifacts, queued and cancelled ones."""
    owned: dict[str, Any] = {"tenant": "acme", "owner": "ann"}
    jobs = [
        await engine.submit(double, 2, **owned),
        await engine.submit(decide, Idea("a", 3), **owned),
        await engine.submit(fragile, "user", **owned),
        await engine.submit(fragile, "secret", **owned),
        *[await engine.submit(large, 2_000_000, **owned) for _ in range(3)],
    ]
    await engine.run_until_empty()
    jobs += [await engine.submit(hold, 1, **owned) for _ in range(3)]
    await engine.app.cancel(jobs[-1].id)
    return [job.id for job in jobs]


class TestTheDocument:
    async def test_no_request_is_answered_in_a_way_that_is_not_told(self, database_server: str):
        async with target(database_server) as (api, aim):
            document = create_api(api.engine.app).openapi()
            tried: list[Tried] = await asyncio.to_thread(
                lambda: list(fuzz(document, aim, cases=CASES, number=NUMBER))
            )
        assert [one for one in tried if one.finding] == []
        unused = [one.operation for one in tried if not any(key < 400 for key in one.statuses)]
        assert [operation for operation in unused if operation.startswith("GET")] == []
