"""What becomes of the jobs of dead workers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest

from headrace.store.pool import connect
from headrace.store.workers import (
    RecoveredJob,
    expire_queued,
    forget_claim,
    lose_workers,
    orphaned_claims,
    recover_jobs,
    stop_worker,
)
from tests.engine_rows import RULES, Rows

GRACE = timedelta(seconds=5)
PAST_LEASE = timedelta(seconds=31)


@pytest.fixture
async def rows(database: str) -> AsyncIterator[Rows]:
    rows = await Rows.open(database)
    yield rows
    await rows.close()


@pytest.fixture
async def session(database: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await connect(database, name="worker's session")
    yield connection
    if not connection.is_closed():
        await connection.close()


async def lost(rows: Rows) -> list[tuple[int, bool]]:
    found = await lose_workers(rows.connection, grace=GRACE)
    return [(worker.id, worker.vanished) for worker in found]


async def recover(rows: Rows, token: int) -> list[RecoveredJob]:
    return await recover_jobs(rows.connection, token, rules=RULES, reaper=1)


class TestRecovery:
    async def test_jobs_of_a_lost_worker_are_free_at_once(self, rows: Rows) -> None:
        (claim,) = await rows.claimed()
        await rows.wait(PAST_LEASE)
        await lost(rows)
        (orphan,) = await orphaned_claims(rows.connection)
        (job,) = await recover(rows, orphan.token)
        assert (orphan.token, orphan.jobs) == (claim["token"], 1)
        assert (job.id, job.state, job.suspicion, job.lease_losses) == (claim["id"], "queued", 1, 1)
        assert [row["id"] for row in await rows.claim(await rows.worker())] == [claim["id"]]
        assert await rows.history(claim["id"]) == ["submitted", "claimed", "recovered", "claimed"]

    async def test_a_living_workers_claims_are_no_orphans(self, rows: Rows) -> None:
        await rows.claimed()
        assert await orphaned_claims(rows.connection) == []

    async def test_claims_that_a_stopped_worker_left_are_orphans(self, rows: Rows) -> None:
        worker = await rows.worker()
        await rows.claimed(worker=worker)
        await stop_worker(rows.connection, worker)
        assert [claim.worker for claim in await orphaned_claims(rows.connection)] == [worker]

    async def test_two_reapers_recover_once(self, rows: Rows, database: str) -> None:
        claims = await rows.claimed(50)
        await rows.wait(PAST_LEASE)
        await lost(rows)
        other = await Rows.open(database)
        token = claims[0]["token"]
        taken = await asyncio.gather(recover(rows, token), recover(other, token))
        await other.close()
        ids = [job.id for jobs in taken for job in jobs]
        assert sorted(ids) == sorted(claim["id"] for claim in claims)
        assert (await rows.job(ids[0]))["lease_losses"] == 1
        assert await rows.count("queued") == 50

    async def test_a_job_that_is_being_written_is_left_for_the_next_pass(
        self, rows: Rows, session: asyncpg.Connection[asyncpg.Record]
    ) -> None:
        first, second = await rows.claimed(2)
        token = first["token"]
        await rows.wait(PAST_LEASE)
        await lost(rows)
        async with session.transaction():
            await session.execute(
                "select from headrace.jobs where id = $1 for no key update", first["id"]
            )
            assert [job.id for job in await recover(rows, token)] == [second["id"]]
            await forget_claim(rows.connection, token)
            assert [claim.jobs for claim in await orphaned_claims(rows.connection)] == [1]
        assert [job.id for job in await recover(rows, token)] == [first["id"]]
        await forget_claim(rows.connection, token)
        assert await rows.count("claims") == 0

    async def test_a_job_with_a_cancel_request_ends_as_cancelled(self, rows: Rows) -> None:
        (claim,) = await rows.claimed()
        await rows.value("operations.request_cancel", claim["id"], "user", None)
        (job,) = await recover(rows, claim["token"])
        assert (job.state, job.cancel_requested_by) == ("cancelled", "user")
        assert await rows.count("queued") == 0

    async def test_the_token_of_a_recovered_job_writes_nothing_more(self, rows: Rows) -> None:
        (claim,) = await rows.claimed()
        await recover(rows, claim["token"])
        await rows.checkpoint(claim, ["late"])
        await rows.claim(await rows.worker())
        await rows.checkpoint(claim, ["later"])
        assert await rows.count("steps") == 0


async def lose_again(rows: Rows, *, start: bool, suspect: bool = False) -> RecoveredJob:
    """Let a new worker claim the only job, and die."""
    await rows.wait(timedelta(seconds=40))
    worker = await rows.worker()
    (claim,) = await rows.claim(worker, suspects=suspect)
    if start:
        await rows.record_start(claim, worker)
    (job,) = await recover(rows, claim["token"])
    return job


class TestSuspects:
    async def test_the_first_death_makes_no_suspect(self, rows: Rows) -> None:
        await rows.submit()
        job = await lose_again(rows, start=True)
        assert (job.suspicion, job.charges) == (1, None)

    async def test_a_death_without_a_start_on_record_makes_no_suspect(self, rows: Rows) -> None:
        await rows.submit()
        await lose_again(rows, start=False)
        assert (await lose_again(rows, start=False)).suspicion == 1

    async def test_a_second_death_in_a_recorded_start_makes_one_that_waits(
        self, rows: Rows
    ) -> None:
        await rows.submit()
        await lose_again(rows, start=False)
        job = await lose_again(rows, start=True)
        assert (job.suspicion, job.charges) == (2, None)
        assert await rows.claim(await rows.worker(), suspects=True) == []
        await rows.wait(RULES.first_wait)
        assert await rows.claim(await rows.worker()) == []  # not among others
        assert len(await rows.claim(await rows.worker(), suspects=True)) == 1

    async def test_three_deaths_as_a_suspect_fail_the_job(self, rows: Rows) -> None:
        (job_id,) = await rows.submit()
        await lose_again(rows, start=False)
        await lose_again(rows, start=True)
        ends = [await lose_again(rows, start=True, suspect=True) for _ in range(3)]
        assert [(end.charges, end.state) for end in ends] == [
            (1, "queued"),
            (2, "queued"),
            (3, "failed"),
        ]
        assert (ends[-1].step, ends[-1].item) == ("step", "")
        job = await rows.job(job_id)
        assert (job["cause"], job["lease_losses"]) == ("worker_lost", 5)
        assert await rows.count("dead_letters") == 1

    async def test_a_charged_job_waits_longer(self, rows: Rows) -> None:
        await rows.submit()
        await lose_again(rows, start=False)
        await lose_again(rows, start=True)
        await lose_again(rows, start=True, suspect=True)
        await rows.wait(RULES.first_wait)
        assert await rows.claim(await rows.worker(), suspects=True) == []
        await rows.wait(RULES.later_wait)
        assert len(await rows.claim(await rows.worker(), suspects=True)) == 1

    async def test_charges_count_for_each_item_by_itself(self, rows: Rows) -> None:
        await rows.submit()
        await lose_again(rows, start=False)
        await lose_again(rows, start=True)
        charged = []
        for item in ("a", "b", "a", "b", "a"):
            await rows.wait(timedelta(seconds=40))
            worker = await rows.worker()
            (claim,) = await rows.claim(worker, suspects=True)
            await rows.record_start(claim, worker, item)
            (job,) = await recover(rows, claim["token"])
            charged.append((job.item, job.charges, job.state))
        assert charged[-2:] == [("b", 2, "queued"), ("a", 3, "failed")]

    async def test_a_start_under_an_older_claim_is_not_charged(self, rows: Rows) -> None:
        await rows.submit()
        await lose_again(rows, start=False)
        await lose_again(rows, start=True)
        job = await lose_again(rows, start=False, suspect=True)
        assert (job.suspicion, job.charges) == (2, None)


class TestDeadlines:
    async def test_a_queued_job_past_its_deadline_fails_once(self, rows: Rows) -> None:
        deadline = await rows.connection.fetchval("select now() + interval '10 s'")
        (job_id,) = await rows.submit(deadline=deadline)
        await rows.submit()
        assert await expire_queued(rows.connection) == []
        await rows.wait(timedelta(seconds=11))
        (expired,) = await expire_queued(rows.connection)
        assert (expired.id, expired.cause, expired.pipeline) == (
            job_id,
            "deadline_exceeded",
            "pipe",
        )
        assert await expire_queued(rows.connection) == []
        assert (await rows.job(job_id))["state"] == "failed"
        assert await rows.count("queued") == 1
