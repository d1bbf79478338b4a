"""What is deleted, when, and what stays."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest
import uuid_utils.compat

from headrace.store.retention import (
    Expired,
    RetentionPass,
    RetentionRules,
    count_expired,
    prune_checkpoints,
    prune_jobs,
)
from tests.engine_rows import Rows

RULES = RetentionRules(jobs=timedelta(days=30), checkpoints=timedelta(days=7))
AFTER_CHECKPOINTS = timedelta(days=8)
AFTER_JOBS = timedelta(days=31)


@pytest.fixture
async def rows(database: str) -> AsyncIterator[Rows]:
    rows = await Rows.open(database)
    yield rows
    await rows.close()


async def ended(rows: Rows, state: str = "completed") -> uuid.UUID:
    """A job of three steps, the last of which is its result."""
    (claim,) = await rows.claimed()
    await rows.checkpoint(claim, ["one", "two", "three"])
    await rows.connection.execute(
        "insert into headrace.records (job, run, step, item, name, worker, token, latency_us,"
        " output) values ($1, 1, 'two', '', 'call', 1, 1, 1, '1')",
        claim["id"],
    )
    await rows.connection.execute(
        "insert into headrace.tries (job, run, step, item, attempt, worker, token, latency_us,"
        " class, code, message) values ($1, 1, 'two', '', 1, 1, 1, 1, 'x', 'x', 'x')",
        claim["id"],
    )
    await rows.end(claim, state, "three")
    identity: uuid.UUID = claim["id"]
    return identity


async def steps(rows: Rows, job: uuid.UUID) -> list[str]:
    found = await rows.connection.fetch(
        "select step from headrace.steps where job = $1 order by position", job
    )
    return [row["step"] for row in found]


async def run(rows: Rows) -> tuple[int, int]:
    walk = RetentionPass(RULES)
    while await walk.advance(rows.connection):
        pass
    return walk.jobs, walk.checkpoints


class TestCheckpoints:
    async def test_after_a_week_only_the_result_stays(self, rows: Rows) -> None:
        job = await ended(rows)
        assert await run(rows) == (0, 0)
        await rows.wait(AFTER_CHECKPOINTS)
        assert await run(rows) == (0, 3)
        assert await steps(rows, job) == ["three"]
        assert await rows.count("records") == 0
        assert await rows.count("tries") == 1
        assert await run(rows) == (0, 0)

    async def test_a_cancelled_job_keeps_none(self, rows: Rows) -> None:
        (claim,) = await rows.claimed()
        await rows.checkpoint(claim, ["one", "two"])
        await rows.end(claim, "cancelled")
        await rows.wait(AFTER_CHECKPOINTS)
        assert await run(rows) == (0, 2)

    async def test_a_failed_job_keeps_all(self, rows: Rows) -> None:
        job = await ended(rows, "failed")
        await rows.wait(AFTER_CHECKPOINTS)
        assert await run(rows) == (0, 0)
        assert await steps(rows, job) == ["one", "two", "three"]

    async def test_a_job_that_runs_or_waits_keeps_all(self, rows: Rows) -> None:
        (claim,) = await rows.claimed()
        await rows.checkpoint(claim, ["one"])
        await rows.submit()
        await rows.wait(AFTER_JOBS)
        assert await run(rows) == (0, 0)
        assert await steps(rows, claim["id"]) == ["one"]


class TestJobs:
    @pytest.mark.parametrize("state", ["completed", "failed", "cancelled"])
    async def test_after_a_month_nothing_of_a_job_is_left(self, rows: Rows, state: str) -> None:
        await ended(rows, state)
        await rows.wait(AFTER_JOBS)
        assert await run(rows) == (1, 0)
        tables = ("jobs", "steps", "records", "tries", "job_events", "dead_letters", "progress")
        assert [await rows.count(table) for table in tables] == [0] * len(tables)

    async def test_one_that_ended_lately_stays_however_old_it_is(self, rows: Rows) -> None:
        (claim,) = await rows.claimed()
        await rows.wait(AFTER_JOBS)
        await rows.end(claim)
        await rows.connection.execute(
            "update headrace.jobs set finished_at = headrace.now() where id = $1", claim["id"]
        )
        assert await run(rows) == (0, 0)

    async def test_one_that_is_being_reopened_stays(self, rows: Rows, database: str) -> None:
        job = await ended(rows)
        await rows.wait(AFTER_JOBS)
        operator = await Rows.open(database)
        async with operator.connection.transaction():
            await operator.value(
                "operations.reopen_job", job, "ann", "retried", None, timedelta(seconds=60)
            )
            assert await run(rows) == (0, 0)
        await operator.close()
        assert await run(rows) == (0, 0)
        assert (await rows.job(job))["run"] == 2

    async def test_evidence_is_deleted_by_nobody_else(self, rows: Rows) -> None:
        await ended(rows)
        for table in ("steps", "records", "tries", "job_events"):
            with pytest.raises(asyncpg.CheckViolationError, match="evidence"):
                await rows.connection.execute(f"delete from headrace.{table}")  # noqa: S608


class TestPages:
    async def test_a_page_says_where_the_next_one_begins(self, rows: Rows) -> None:
        jobs = [await ended(rows) for _ in range(5)]
        await rows.wait(AFTER_JOBS)
        first = await prune_jobs(rows.connection, age=RULES.jobs, page=3)
        assert (first.removed, first.next) == (3, sorted(jobs)[2])
        assert first.next is not None
        last = await prune_jobs(rows.connection, age=RULES.jobs, after=first.next, page=3)
        assert (last.removed, last.next) == (2, None)

    async def test_what_stays_is_passed_by(self, rows: Rows) -> None:
        for state in ("failed", "failed", "completed"):
            await ended(rows, state)
        await rows.wait(AFTER_CHECKPOINTS)
        first = await prune_checkpoints(rows.connection, age=RULES.checkpoints, page=2)
        assert first.removed == 0
        assert first.next is not None
        last = await prune_checkpoints(
            rows.connection, age=RULES.checkpoints, after=first.next, page=2
        )
        assert last.removed == 3

    async def test_a_page_that_takes_too_long_is_made_smaller(self, rows: Rows) -> None:
        for _ in range(3):
            await ended(rows)
        await rows.wait(AFTER_JOBS)
        await rows.connection.execute(
            "create function slow() returns trigger language plpgsql as"
            " $$begin perform pg_sleep(0.2); return old; end$$;"
            " create trigger slow before delete on headrace.jobs"
            " for each row execute function slow(); set statement_timeout = 500"
        )
        walk = RetentionPass(RULES)
        while await walk.advance(rows.connection):
            pass
        assert walk.jobs == 3

    async def test_the_first_id_of_a_time_divides_older_ids_from_newer_ones(
        self, rows: Rows
    ) -> None:
        older = uuid_utils.compat.uuid7()
        seconds = uuid_utils.UUID(str(older)).timestamp / 1_000
        below, above = [
            await rows.connection.fetchval(
                "select headrace.first_id(to_timestamp($1::float8))", seconds + shift
            )
            for shift in (-0.001, 0.001)
        ]
        assert below < older < above


class TestDryRun:
    async def test_it_counts_what_a_pass_would_delete_and_deletes_nothing(self, rows: Rows) -> None:
        await ended(rows)
        await ended(rows, "failed")
        await rows.wait(timedelta(days=25))
        assert await count_expired(rows.connection, RULES) == Expired(0, 3)
        await rows.wait(timedelta(days=10))
        assert await count_expired(rows.connection, RULES) == Expired(2, 8)
        assert await rows.count("jobs") == 2
        assert await run(rows) == (2, 0)
