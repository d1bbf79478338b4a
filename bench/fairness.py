"""The work about tenants: how long a small one waits while a large one fills every slot."""

import asyncio
from collections.abc import Mapping
from time import monotonic
from typing import Final

from bench.errors import BenchError
from bench.events import Event
from bench.figures import percentile
from bench.lab import Lab
from bench.runs import Run
from bench.sizes import SUBMIT_BATCH, TURN_OVER_S
from bench.subjects import Subject

WORKERS: Final = 4
SLOTS: Final = 10
"""Of each worker."""
JOBS: Final = 10
"""Of the small tenant, submitted at once when its last ones have started."""
WAITS: Final = """
select extract(epoch from started_at - created_at) * 1000
from headrace.jobs where tenant = 'other' and started_at is not null
"""


POLL_S: Final = 0.05
LIMIT_S: Final = 60.0


async def fairness(lab: Lab, subject: Subject) -> Mapping[str, float]:
    """Submit to start of one tenant's ten jobs while another's backlog waits, again and again."""
    async with lab.run(subject) as run:
        await run.command("submit", "sleep", 0, lab.sizes.backlog, SUBMIT_BATCH)
        await run.settle()
        for _ in range(WORKERS):
            await run.start_worker("sleep", SLOTS, sleep_s=TURN_OVER_S)
        await run.until(_all_begun)
        for turn in range(lab.sizes.fairness):
            await run.command("submit", "other", turn * JOBS, JOBS, JOBS)
            waits = await _started(run, (turn + 1) * JOBS)
        left = await run.connection.fetchval("select count(*) from headrace.queued")
    if not left:
        raise BenchError("nothing was left of the backlog")
    return {"tenant_p50": percentile(waits, 0.5), "tenant_p95": percentile(waits, 0.95)}


def _all_begun(events: list[Event]) -> bool | None:
    return len({event.pid for event in events}) == WORKERS or None


async def _started(run: Run, jobs: int) -> list[float]:
    """The waits of all jobs of the small tenant, when so many have started."""
    end = monotonic() + LIMIT_S
    while monotonic() < end:
        waits = [float(row[0]) for row in await run.connection.fetch(WAITS)]
        if len(waits) == jobs:
            return waits
        await asyncio.sleep(POLL_S)
    raise BenchError(f"{jobs} jobs of another tenant did not start within {LIMIT_S:g} s")
