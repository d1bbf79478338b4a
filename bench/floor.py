"""The floor: no engine, only the durable writes that the work needs, in batches of 100.

Four lanes claim and finish on connections of their own; the writes of a batch are one committed
statement. This file is a definition: its schema, statements, lanes and batch size stay as they are.
"""

import asyncio
import json
from typing import Final

import asyncpg

from bench.protocol import STEPS, Adapter, main, payload

BATCH: Final = 100
LANES: Final = 4
IDLE_S: Final = 0.5

SCHEMA: Final = """
create table job (
  id bigint primary key, kind text not null, state smallint not null default 0,
  payload text not null, result text, worker int, lease timestamptz,
  created timestamptz not null default now(), finished timestamptz
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
create index job_ready on job (id) where state = 0;
create table step (job bigint, seq smallint, result text not null, primary key (job, seq));
"""
CLAIM: Final = """
update job set state = 1, worker = $1, lease = now() + interval '30 s'
where id = any(array(
  select id from job where state = 0 order by id limit $2 for update skip locked
))
returning id, kind, payload
"""
DONE: Final = """
update job set state = 2, result = d.r, finished = now()
from unnest($1::bigint[], $2::text[]) as d(id, r) where job.id = d.id
"""
STEP: Final = """
insert into step (job, seq, result) select i, $2, r from unnest($1::bigint[], $3::text[]) as d(i, r)
"""
ONE: Final = """
with x as (insert into job (id, kind, payload) values ($1, $2, $3)) select pg_notify('job', '')
"""


class Floor(Adapter):
    """Hand-written asyncpg code: what every subject is compared with."""

    async def setup(self) -> None:
        """Create the two tables."""
        connection = await asyncpg.connect(self.dsn)
        await connection.execute(SCHEMA)
        await connection.close()

    async def open(self) -> None:
        """Connect once."""
        self._connection = await asyncpg.connect(self.dsn)

    async def close(self) -> None:
        """Disconnect."""
        await self._connection.close()

    async def many(self, kind: str, numbers: range) -> None:
        """COPY the jobs in."""
        await self._connection.copy_records_to_table(
            "job",
            columns=("id", "kind", "payload"),
            records=[(number, kind, json.dumps(payload(number))) for number in numbers],
        )

    async def one(self, kind: str, number: int) -> None:
        """Insert one job and ring."""
        await self._connection.execute(ONE, number, kind, json.dumps(payload(number)))

    async def work(self, kind: str) -> None:
        """Run the lanes."""
        bell = asyncio.Event()
        steps = STEPS if kind == "steps" else 1
        await asyncio.gather(*(self._lane(lane, steps, bell) for lane in range(LANES)))

    async def _lane(self, lane: int, steps: int, bell: asyncio.Event) -> None:
        connection = await asyncpg.connect(self.dsn)
        claim, done, step = [await connection.prepare(sql) for sql in (CLAIM, DONE, STEP)]
        if lane == 0:
            await connection.add_listener("job", lambda *_: bell.set())
        while True:
            bell.clear()
            jobs = await claim.fetch(lane, BATCH)
            if not jobs:
                await _ring_or_idle(bell)
                continue
            numbers = [job[0] for job in jobs]
            results: list[str] = []
            for seq in range(1, steps + 1):
                results = [self._no_op(*job) for job in jobs]
                if steps > 1:
                    await step.fetch(numbers, seq, results)
            await done.fetch(numbers, results)

    def _no_op(self, number: int, _kind: str, text: str) -> str:
        """The user's function, once a job and step: decode the input, encode the output."""
        self.recorder.start(number)
        return json.dumps(json.loads(text)["i"])


async def _ring_or_idle(bell: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(bell.wait(), IDLE_S)
    except TimeoutError:
        return


if __name__ == "__main__":
    main(Floor())
