"""The work about locks: how long one stands free while fifty wait for it, in five processes."""

import asyncio
from collections.abc import Mapping
from time import monotonic
from typing import Final

from bench.errors import BenchError
from bench.figures import percentile
from bench.lab import Lab
from bench.subjects import Subject

PROCESSES: Final = 5
TASKS: Final = 10
"""Of each process."""
TURNS: Final = 1_000
WARM_UP: Final = 200
"""The first ones come while processes still start."""
GAPS: Final = """
select extract(epoch from next.at - ended.at)::float8 * 1000
from (
    select token, at, row_number() over (order by token) as turn
    from headrace.lock_grants where change = 'granted'
) as next
join (
    select at, row_number() over (order by token) as turn
    from headrace.lock_grants where change = 'released'
) as ended on ended.turn = next.turn - 1
where next.turn > $1 order by next.turn limit $2
"""
COUNT: Final = "select count(*) from headrace.lock_grants where change = 'released'"
POLL_S: Final = 0.05
LIMIT_S: Final = 120.0


async def locks(lab: Lab, subject: Subject) -> Mapping[str, float]:
    """From a release to the next grant, by the database's clock."""
    async with lab.run(subject) as run:
        for _ in range(PROCESSES):
            await run.start("-m", "bench.lock_waiters", str(TASKS))
        end = monotonic() + LIMIT_S
        while await run.connection.fetchval(COUNT) < WARM_UP + TURNS:
            if monotonic() > end:
                raise BenchError(f"{WARM_UP + TURNS} turns took over {LIMIT_S:g} s")
            await asyncio.sleep(POLL_S)
        gaps = [float(row[0]) for row in await run.connection.fetch(GAPS, WARM_UP, TURNS)]
    return {"lock_p50": percentile(gaps, 0.5), "lock_p95": percentile(gaps, 0.95)}
