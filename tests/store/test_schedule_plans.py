"""The statements of schedules touch what they are about, however many slots there were."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest_asyncio

from headrace.store.pool import connect
from headrace.store.session import ENGINE_SETTINGS
from tests.store.plans import Connection, check, explain

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MINE = ("pipeline 7", "schedule 3")
JOB = "0192f1e2-1234-7abc-8def-001122334455"
FILL = """
with schedule as (
    insert into headrace.schedules (
        pipeline, name, version, cron, timezone, missed, tenant, owner, next_slot
    )
    select
        'pipeline ' || number / 10, 'schedule ' || number % 10, '1.0.0', '* * * * *', 'UTC', 'all',
        'default', 'default', '2026-01-01Z'
    from generate_series(1, 1000) as number
    returning pipeline, name
)
insert into headrace.schedule_slots (pipeline, schedule, slot, job, fired_at)
select pipeline, name, at, gen_random_uuid(), at
from schedule
cross join generate_series(timestamptz '2025-12-31Z', '2025-12-31 23:00Z', '1 hour') as at
"""


@pytest_asyncio.fixture
async def many(database: str) -> AsyncIterator[Connection]:
    """A connection as that of a worker, to a database with many schedules."""
    settings = {**ENGINE_SETTINGS, "statement_timeout": "60s"}
    connection = await connect(database, name="plans", settings=settings)
    await connection.execute(FILL)
    await connection.execute("vacuum analyze headrace.schedules, headrace.schedule_slots")
    yield connection
    await connection.close()


async def test_each_reads_the_schedule_that_it_is_about(many: Connection) -> None:
    own = {"schedules": ({"schedules_pkey"}, 2)}
    found = await explain(many, "schedules.carried", [MINE[0]])
    check(found, {"schedules": ({"schedules_pkey"}, 10)})
    version = ("1.0.0", "* * * * *", "UTC")
    following = NOW + timedelta(minutes=1)
    check(await explain(many, "schedules.advance", *MINE, NOW, following, 0, *version), own)
    check(await explain(many, "schedules.record_slot", *MINE, NOW, JOB), own)
    waits = (timedelta(seconds=1), timedelta(minutes=5))
    check(await explain(many, "schedules.record_failure", *MINE, NOW, "error", *waits), own)


async def test_the_last_slots_are_found_from_the_end(many: Connection) -> None:
    found = await explain(many, "schedules.list_slots", *MINE, 5)
    assert found["schedule_slots"].ways == {"schedule_slots_pkey"}
    assert found["schedule_slots"].rows <= 5


async def test_old_slots_are_found_by_their_age(many: Connection) -> None:
    await many.execute("select set_config('headrace.retention', 'on', false)")
    age = datetime.now(UTC) - NOW + timedelta(hours=22)
    found = await explain(many, "schedules.prune_slots", age, 100)
    assert "schedule_slots_age" in found["schedule_slots"].ways
    assert found["schedule_slots"].rows <= 200
