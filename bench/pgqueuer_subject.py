"""PgQueuer with the settings that its own documentation recommends for throughput.

Its performance guide: `pgq autovac` after installation, one connection for the queue manager, a
pool for producers, a larger `batch_size` for short jobs. uvloop as in its own benchmark; durability
`durable` (its default), because everybody here writes logged tables. It has no steps: five durable
steps are five jobs, each handler enqueueing the next.
"""

import asyncio
import json
from datetime import timedelta
from typing import Final

import asyncpg
from pgqueuer import (  # type: ignore[import-not-found]  # lives in its own environment
    AsyncpgDriver,
    AsyncpgPoolDriver,
    Job,
    PgQueuer,
    Queries,
)

from bench.protocol import (
    HIGH_PRIORITY,
    LATER_S,
    NORMAL_PRIORITY,
    SLEEP_S,
    SOON_S,
    STEPS,
    Adapter,
    main,
    payload,
)

BATCH: Final = 100
"""Jobs a dequeue, as the floor's. 10 (its default) drains 0.3 times, 25 drains 0.6 times and 50
drains 0.9 times as fast; 250 and 500 no faster."""

POOL: Final = 10
"""Connections of the producer pool, also of the handlers that enqueue their next step."""

DELAYS: Final = {"soon": timedelta(seconds=SOON_S), "later": timedelta(seconds=LATER_S)}
ENTRYPOINTS: Final = {"soon": "noop", "later": "noop"}


class PgQueuerAdapter(Adapter):
    """PgQueuer's answers."""

    async def setup(self) -> None:
        """What `pgq install` and `pgq autovac` do."""
        connection = await asyncpg.connect(self.dsn)
        queries = Queries(AsyncpgDriver(connection))
        await queries.install()
        await queries.optimize_autovacuum()
        await connection.close()

    async def open(self) -> None:
        """Open the producer pool, all of it."""
        self._pool = await asyncpg.create_pool(self.dsn, min_size=POOL, max_size=POOL)
        self._queries = Queries(AsyncpgPoolDriver(self._pool))

    async def close(self) -> None:
        """Close the pool."""
        await self._pool.close()

    async def many(self, kind: str, numbers: range) -> None:
        """Enqueue lists, one statement a call."""
        count = len(numbers)
        await self._queries.enqueue(
            [ENTRYPOINTS.get(kind, kind)] * count,
            [json.dumps(payload(number)).encode() for number in numbers],
            [HIGH_PRIORITY if kind == "soon" else NORMAL_PRIORITY] * count,
            [DELAYS.get(kind)] * count,
        )

    async def one(self, kind: str, number: int) -> None:
        """Enqueue one job."""
        await self._queries.enqueue(kind, json.dumps(payload(number)).encode())

    async def work(self, kind: str) -> None:
        """Run the queue manager on a connection of its own."""
        await self.open()
        manager = PgQueuer(AsyncpgDriver(await asyncpg.connect(self.dsn)))
        handlers = {"noop": self._no_op, "steps": self._step, "sleep": self._sleep}
        manager.entrypoint(kind)(handlers[kind])
        await manager.run(batch_size=BATCH)

    async def _no_op(self, job: Job) -> None:
        self.recorder.start(json.loads(job.payload)["i"])

    async def _step(self, job: Job) -> None:
        item = json.loads(job.payload)
        self.recorder.start(item["i"])
        seq = item.get("seq", 1)
        if seq < STEPS:  # the output of a step travels as the input of the next
            text = json.dumps({**item, "seq": seq + 1, "result": item["i"]})
            await self._queries.enqueue("steps", text.encode())

    async def _sleep(self, job: Job) -> None:
        number = json.loads(job.payload)["i"]
        self.recorder.start(number)
        await asyncio.sleep(SLEEP_S)
        self.recorder.end(number)


if __name__ == "__main__":
    main(PgQueuerAdapter())
