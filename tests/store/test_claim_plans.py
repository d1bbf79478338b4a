"""What claims and looks for shares read of large tables."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio

from tests.store.plans import (
    CLAIM,
    LANES,
    SUSPECTS,
    Connection,
    check,
    explain,
    explain_claim,
    running,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHARES = 100
SPREAD = """
update headrace.queued
set share = ('x' || right(job::text, 8))::bit(32)::integer / 5 % $1::integer
"""


@pytest_asyncio.fixture(loop_scope="module")
async def shared(large: Connection) -> AsyncIterator[Connection]:
    """The same, where each lane has jobs of all of many shares."""
    transaction = large.transaction()
    await transaction.start()
    try:
        await large.execute(SPREAD, SHARES)
        yield large
    finally:
        await transaction.rollback()


class TestClaims:
    async def test_claim_jobs_reads_a_batch_from_each_lane(self, large: Connection):
        lanes = list(range(1, LANES + 1))
        found = await explain_claim(large, lanes)
        check(
            found,
            {
                "workers": ({"workers_pkey"}, 1),
                "lanes": (found["lanes"].ways, LANES),
                "tenant_limits": (found["tenant_limits"].ways, 0),
                "queues": ({"queues_pkey"}, LANES),
                # The batch of each lane, and those that are taken.
                "queued": ({"queued_ready", "Tid Scan"}, CLAIM * LANES + CLAIM),
                "jobs": ({"jobs_pkey"}, CLAIM),
            },
        )

    async def test_claim_jobs_reads_no_more_shares_than_fill_it(self, shared: Connection):
        quota = 4
        found = await explain_claim(shared, list(range(1, LANES + 1)), list(range(SHARES)), quota)
        assert found["queued"].ways == {"queued_ready", "Tid Scan"}
        assert found["queued"].rows <= CLAIM * LANES + CLAIM

    async def test_find_shares_reads_one_entry_of_each(self, shared: Connection):
        lanes, most = list(range(1, LANES + 1)), 10
        found = await explain(shared, "claims.find_shares", lanes, not SUSPECTS, -1, most)
        check({"queued": found["queued"]}, {"queued": ({"queued_ready"}, LANES * most)})

    async def test_a_claim_of_lanes_that_nobody_filled_reads_nothing(self, large: Connection):
        found = await explain_claim(large, [777, 778])
        assert "queued" not in found or not found["queued"].rows
        assert "jobs" not in found or not found["jobs"].rows

    async def test_promote_due_looks_at_what_is_not_ready_only(self, large: Connection):
        found = await explain(large, "claims.promote_due", 1_000)
        check(found, {"queued": ({"queued_due", "Tid Scan"}, 0)})

    async def test_next_due_reads_one_entry(self, large: Connection):
        found = await explain(large, "claims.next_due")
        check(found, {"queued": ({"queued_due"}, 1)})

    async def test_is_work_due_reads_one_entry_of_a_lane(self, large: Connection):
        found = await explain(large, "claims.is_work_due", list(range(1, LANES + 1)))
        check({"queued": found["queued"]}, {"queued": ({"queued_ready"}, LANES)})

    async def test_take_rings_reads_the_first_entries_of_each_lane(self, large: Connection):
        minute, hour = timedelta(minutes=1), timedelta(hours=1)
        found = await explain(large, "retention.take_rings", 1, minute, hour)
        lanes = await large.fetchval("select count(*) from headrace.lanes")
        check({"queued": found["queued"]}, {"queued": ({"queued_ready"}, 1_000 * lanes)})

    async def test_load_steps_reads_the_steps_of_these_jobs(self, large: Connection):
        jobs, _ = await running(large)
        found = await explain(large, "claims.load_steps", jobs, [1] * CLAIM)
        check(found, {"steps": ({"steps_pkey"}, CLAIM)})

    async def test_held_jobs_reads_the_claims_of_one_worker(self, large: Connection):
        found = await explain(large, "claims.held_jobs", 7)
        assert found["jobs"].ways == {"jobs_pkey"}
        assert found["jobs"].rows <= 3 * CLAIM
