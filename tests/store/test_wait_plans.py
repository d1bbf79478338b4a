"""What is looked up for jobs that wait, on large tables of signals, waits and children."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import pytest
import pytest_asyncio

from headrace.store.children import NO_CHILD
from headrace.store.pool import connect
from tests.store.plans import CLAIM, Connection, check, explain, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

FILL: Final = """\
-- The 20,000 jobs that are queued for tomorrow wait for a signal, half of them for a running child,
-- too; all that completed had a signal.
insert into headrace.signals (job, run, name, value, seq)
select id, 1, 'answer', '1', 1 from headrace.jobs where state = 'completed';
insert into headrace.waits (job, run, step, item, kind, name, due_at, token)
select id, 1, 'decide', '', 'signal', 'answer', now() + interval '1 day', 1
from headrace.jobs where state = 'completed' or due_at > now();
with parents as (
    select id, row_number() over (order by id) as n
    from headrace.jobs where state = 'queued' and due_at > now() limit 10000
), children as (
    select id, row_number() over (order by id) as n from headrace.jobs where state = 'running'
)
insert into headrace.children (child, parent, run)
select children.id, parents.id, 1 from parents join children using (n);
insert into headrace.waits (job, run, step, item, kind, name, token)
select parent, 1, 'ask', '', 'child', child::text, 1 from headrace.children;
"""
WAITING: Final = """\
select id from headrace.jobs where state = 'queued' and due_at > now() order by id limit 100"""
ANSWERED: Final = """\
select id from headrace.jobs where state = 'completed' order by id limit 100"""
PAGE: Final = 1_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def waiting(address: str, large: Connection) -> AsyncIterator[Connection]:
    """The same connection, to a database in which many wait."""
    connection = await connect(address, name="plans", settings={"statement_timeout": "60s"})
    await connection.execute(FILL)
    await connection.execute("vacuum analyze")
    await connection.close()
    yield large


async def waiting_jobs(connection: Connection, which: str = WAITING) -> list[str]:
    async with connection.transaction():
        await connection.execute("set local enable_seqscan = on")
        return [str(row["id"]) for row in await connection.fetch(which)]


class TestClaims:
    async def test_load_signals(self, waiting: Connection) -> None:
        jobs = await waiting_jobs(waiting)
        found = await explain(waiting, "claims.load_signals", jobs, [1] * CLAIM)
        check(found, {"signals": ({"signals_pkey"}, CLAIM)})

    async def test_load_waits(self, waiting: Connection) -> None:
        jobs = await waiting_jobs(waiting)
        found = await explain(waiting, "claims.load_waits", jobs, [1] * CLAIM)
        check(
            found,
            {
                "waits": ({"waits_pkey"}, 2 * CLAIM),
                "jobs": ({"jobs_pkey"}, 2 * CLAIM),
                "children": ({"children_pkey"}, CLAIM),
            },
        )

    async def test_expire_signals(self, waiting: Connection) -> None:
        jobs, tokens = await running(waiting)
        found = await explain(waiting, "claims.expire_signals", jobs, tokens)
        check(found, {"jobs": ({"jobs_pkey"}, CLAIM), "waits": ({"waits_pkey"}, CLAIM)})

    async def test_bind_again(self, waiting: Connection) -> None:
        jobs = await waiting_jobs(waiting)
        found = await explain(waiting, "children.bind_again", jobs, [1] * CLAIM)
        assert found["waits"].ways == {"waits_pkey"}
        assert found["jobs"].ways == {"jobs_pkey"}
        assert found["waits"].rows <= 2 * CLAIM
        assert found["jobs"].rows <= 2 * CLAIM

    async def test_is_in_line(self, waiting: Connection) -> None:
        (job, *_) = await waiting_jobs(waiting)
        found = await explain(waiting, "children.is_in_line", job, "mill")
        check(found, {"jobs": ({"jobs_pkey"}, 1), "children": ({"children_pkey"}, 1)})


class TestFollowing:
    async def test_read_next_looks_at_the_signals_of_the_jobs_that_are_followed(
        self, waiting: Connection
    ) -> None:
        jobs = await waiting_jobs(waiting, ANSWERED)
        found = await explain(
            waiting, "following.read_next", jobs, ["tenant"] * CLAIM, ["owner"] * CLAIM,
            [1] * CLAIM, [0] * CLAIM, [0] * CLAIM, 100,
        )  # fmt: skip
        assert found["signals"].ways == {"signals_pkey"}
        assert 0 < found["signals"].rows <= CLAIM
        assert found["waits"].ways <= {"waits_pkey"}


class TestReleases:
    async def test_release_jobs_looks_at_its_own_signals_and_children(
        self, waiting: Connection
    ) -> None:
        jobs, _ = await running(waiting)
        found = await explain(
            waiting, "ledger.release_jobs", jobs, [60.0] * CLAIM, ["external"] * CLAIM,
            [None] * CLAIM, 1, "1 minute", ["answer"] * CLAIM, jobs,
        )  # fmt: skip
        check(
            found,
            {
                "jobs": ({"jobs_pkey"}, 2 * CLAIM),
                "signals": ({"signals_pkey"}, CLAIM),
                "children": ({"children_pkey"}, 2 * CLAIM),
            },
        )


class TestOrphans:
    async def test_those_of_ended_jobs(self, waiting: Connection) -> None:
        jobs = await waiting_jobs(waiting)
        found = await explain(waiting, "children.orphans_of", jobs)
        assert found["children"].ways == {"children_parent"}
        assert found["jobs"].ways == {"jobs_pkey"}
        assert found["children"].rows <= CLAIM

    async def test_a_page_of_all(self, waiting: Connection) -> None:
        found = await explain(waiting, "children.find_orphans", NO_CHILD, PAGE)
        assert found["children"].ways == {"children_pkey"}
        assert found["jobs"].ways == {"jobs_pkey"}
        assert found["children"].rows <= PAGE
        assert found["jobs"].rows <= PAGE


class TestWaking:
    """The functions are looked into by what their statements read."""

    async def test_a_signal_reads_a_handful_of_rows(self, waiting: Connection) -> None:
        assert (
            await reads_of(waiting, "select headrace.send_signal($1, 'more', '1', 'x', null)") < 40
        )

    async def test_the_end_of_a_child_reads_a_handful_of_rows(self, waiting: Connection) -> None:
        end = "update headrace.jobs set finished_at = now(), state = 'completed', worker = null"
        end += " where id = $1"
        async with waiting.transaction():
            await waiting.execute("set local enable_seqscan = on")
            child = await waiting.fetchval("select child from headrace.children limit 1")
            await waiting.execute(
                "update headrace.jobs set parent_job = (select parent from headrace.children where"
                " child = $1) where id = $1",
                child,
            )
        assert await reads_of(waiting, end, str(child)) < 60


async def reads_of(connection: Connection, query: str, job: str | None = None) -> int:
    """How many rows a statement, with all that it calls, fetches; it is taken back."""
    if job is None:
        (job, *_) = await waiting_jobs(connection)
    query_of = (
        "select sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint"
        " from pg_stat_xact_user_tables where schemaname = 'headrace'"
    )
    transaction = connection.transaction()
    await transaction.start()
    try:
        before = int(await connection.fetchval(query_of))
        await connection.execute(query, job)
        return int(await connection.fetchval(query_of)) - before
    finally:
        await transaction.rollback()
