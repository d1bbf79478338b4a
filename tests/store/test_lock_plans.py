"""The statements of locks touch what they are about, however many there are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest_asyncio

from headrace.store.pool import connect
from headrace.store.session import ENGINE_SETTINGS
from tests.store.plans import Connection, explain

TTL = timedelta(seconds=60)
HELD = 20
"""Of 20,000 locks; their tokens are multiples of 1,000."""
FILL = """
with lock as (
    insert into headrace.locks (
        tenant, key, token, holder, worker, acquired_at, expires_at, released_at
    )
    select
        'acme', number::text, number, 'holder ' || number, 1, now(), now() + interval '1 h',
        case when number % 1000 > 0 then now() end
    from generate_series(1, 20000) as number
    returning token, key
)
insert into headrace.lock_grants (token, change, tenant, key, at)
select token, change, 'acme', key, now()
from lock cross join unnest(array['granted', 'released']) as change
where change = 'granted' or token % 1000 > 0
"""


@pytest_asyncio.fixture
async def many(database: str) -> AsyncIterator[Connection]:
    """A connection as that of a process for its locks, to a database with many."""
    settings = {**ENGINE_SETTINGS, "statement_timeout": "60s"}
    connection = await connect(database, name="plans", settings=settings)
    await connection.execute(FILL)
    await connection.execute("alter sequence headrace.tokens restart 100000")
    await connection.execute("vacuum analyze headrace.locks, headrace.lock_grants")
    yield connection
    await connection.close()


async def test_each_reads_the_lock_that_it_is_about(many: Connection) -> None:
    nobody = (None, None, None, None)
    for key in ("777", "2000", "none"):
        found = await explain(many, "locks.acquire_lock", "acme", key, TTL, "mine", *nobody)
        assert found["locks"].ways == {"locks_pkey"}
        assert found["locks"].rows <= 3
    for name, arguments, way in [
        ("renew_locks", ([2_000], [TTL]), "locks_token"),
        ("extend_lock", (2_000, TTL), "locks_token"),
        ("release_lock", ("acme", "2000", 2_000, "holder 2000"), "locks_pkey"),
        ("verify_lock", (2_000,), "locks_token"),
        ("get_lock", ("acme", "2000"), "locks_pkey"),
    ]:
        found = await explain(many, f"locks.{name}", *arguments)
        assert found["locks"].ways == {way}, name
        assert found["locks"].rows <= 1, name


async def test_who_looks_for_dead_holders_reads_what_is_held_alone(many: Connection) -> None:
    found = await explain(many, "locks.free_void_locks", 100)
    assert "Seq Scan" not in found["locks"].ways
    assert "locks_held" in found["locks"].ways
    assert found["locks"].rows <= 2 * HELD


async def test_retention_reads_a_page(many: Connection) -> None:
    found = await explain(many, "locks.prune_locks", 500)
    assert found["locks"].ways == {"locks_released", "locks_token"}
    assert found["locks"].rows == 0
    await many.execute("set headrace.retention = 'on'")
    found = await explain(many, "locks.prune_grants", timedelta(days=7), 500)
    assert found["lock_grants"].ways <= {"lock_grants_pkey", "Tid Scan"}
    assert found["lock_grants"].rows <= 1_000
