"""The statements of calls through a breaker read one row, however many breakers there are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from headrace.store.databases import fresh_database
from headrace.store.pool import connect
from tests.store.plans import check, explain

if TYPE_CHECKING:
    import asyncpg

    Connection = asyncpg.Connection[asyncpg.Record]

pytestmark = pytest.mark.asyncio(loop_scope="module")

FILL = """
    insert into headrace.breakers (name, tenant, state, epoch, probe_at, probe, probe_worker,
        probe_expires_at)
    select
        'openai', 'tenant ' || number,
        case number when 1 then 'open' when 2 then 'half_open' else 'closed' end, number,
        case number when 1 then now() - interval '1 s' end,
        case number when 2 then 7 end, case number when 2 then 3 end,
        case number when 2 then now() + interval '1 hour' end
    from generate_series(1, 5000) as number;
"""
OPEN, HALF_OPEN, CLOSED = ("openai", "tenant 1"), ("openai", "tenant 2"), ("openai", "tenant 3")
ONE = {"breakers": ({"breakers_pkey"}, 1)}
MINUTE = timedelta(minutes=1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def large(database_server: str, template: str) -> AsyncIterator[Connection]:
    """A connection to a database with many breakers."""
    async with fresh_database(database_server, template) as address:
        connection = await connect(address, name="plans")
        await connection.execute(FILL)
        await connection.execute("vacuum analyze headrace.breakers")
        yield connection
        await connection.close()


class TestBreakers:
    async def test_look_reads_one_row(self, large: Connection):
        check(await explain(large, "breakers.look", *CLOSED), ONE)

    async def test_a_refusal_reads_the_row_and_whether_its_prober_lives(self, large: Connection):
        found = await explain(large, "breakers.ask", *HALF_OPEN, 1, MINUTE)
        assert found["breakers"].ways == {"breakers_pkey"}
        assert found["breakers"].rows <= 2  # once to update it, once to say how it is

    async def test_a_try_changes_one_row(self, large: Connection):
        found = await explain(large, "breakers.ask", *OPEN, 1, MINUTE)
        check({"breakers": found["breakers"]}, ONE)

    async def test_a_failure_changes_one_row(self, large: Connection):
        found = await explain(large, "breakers.fail", *CLOSED, 3, 5, MINUTE, MINUTE, "down", 1)
        check({"breakers": found["breakers"]}, ONE)

    async def test_an_end_of_a_try_changes_one_row(self, large: Connection):
        given = (2, 7, "success", 2, MINUTE, "went well", 1)
        found = await explain(large, "breakers.end_probe", *HALF_OPEN, *given)
        check({"breakers": found["breakers"]}, ONE)
