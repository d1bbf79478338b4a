"""Jobs that wait while a database is migrated are claimed afterwards."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

import pytest

from headrace.store.migrate import FOLDER, Series, migrate
from headrace.store.pool import connect
from headrace.store.sql import SQL
from headrace.worker.picking import Picker
from tests.engine_rows import Rows

BEFORE_SHARES: Final = 5
"""The last migration after which there were no shares."""

OLD_JOBS: Final = """
with made as (
    insert into headrace.jobs (
        id, lane, tenant, owner, priority, due_at, rank, wait_reason, input
    )
    select gen_random_uuid(), 1, tenant, 'owner', 5, now(), now() - interval '5 min', 'new', '1'
    from unnest(array['first', 'first', 'first', 'second']) as tenant
    returning id, lane, rank, due_at
)
insert into headrace.queued (job, lane, ready, rank, due_at)
select id, lane, true, rank, due_at from made
"""
OLD_LANE: Final = """
insert into headrace.lanes (queue, pipeline, version) values ('default', 'pipe', '1.0.0')
"""
DIFFERENCES: Final = """
select count(*) from headrace.queued as entry
join headrace.jobs as job on job.id = entry.job
where entry.share <> headrace.share_of(job.tenant)
"""
READERS: Final = """
select array_agg(distinct case acl.grantee when 0 then 'public' else acl.grantee::regrole::text end)
from pg_class as class
cross join aclexplode(class.relacl) as acl
where class.oid = 'headrace.queued'::regclass and acl.grantee <> class.relowner
"""


@pytest.fixture
async def migrated(empty_database: str, tmp_path: Path) -> str:
    """A database with jobs from before there were shares."""
    for number in range(1, BEFORE_SHARES + 1):
        (file,) = FOLDER.glob(f"{number:04}_*.sql")
        shutil.copy(file, tmp_path)
    await migrate(empty_database, Series(tmp_path))
    connection = await connect(empty_database)
    await connection.execute(OLD_LANE)
    await connection.execute(OLD_JOBS)
    await connection.execute("grant select on headrace.queued to public")
    await connection.close()
    await migrate(empty_database)
    return empty_database


class TestQueuedJobs:
    async def test_they_have_the_share_of_their_tenant_and_take_turns(self, migrated: str):
        rows = await Rows.open(migrated)
        assert await rows.count("queued") == 4
        assert await rows.connection.fetchval(DIFFERENCES) == 0
        claim = await rows.connection.prepare(SQL["claims.claim_jobs"])
        picker = Picker(await rows.worker(), rows.connection, claim, suspects=False)
        taken = await picker.pick([rows.lane], [], 2)
        assert sorted(row["tenant"] for row in taken) == ["first", "second"]
        await rows.close()

    async def test_who_might_read_the_table_still_may(self, migrated: str):
        rows = await Rows.open(migrated)
        assert await rows.connection.fetchval(READERS) == ["headrace_api", "public"]
        await rows.close()

    async def test_they_stay_behind_the_wall_of_their_tenant(self, migrated: str):
        connection = await connect(migrated)
        await connection.execute("set role headrace_api")
        assert await connection.fetchval("select count(*) from headrace.queued") == 0
        await connection.execute("select set_config('headrace.tenant', 'first', false)")
        await connection.execute("select set_config('headrace.owner', 'owner', false)")
        assert await connection.fetchval("select count(*) from headrace.queued") == 3
        await connection.close()
