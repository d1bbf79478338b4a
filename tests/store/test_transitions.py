"""The database allows what the table in `model/job.py` allows, and nothing else."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import asyncpg
import pytest

from headrace import JobState
from headrace.model.job import FINAL_STATES, allowed_pairs
from headrace.store.pool import connect

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

PAIRS = list(product(JobState, JobState))
EVIDENCE = ("job_events", "steps", "records", "tries")


async def insert(connection: Connection, state: JobState) -> UUID:
    """A job in a state, with everything that belongs to it."""
    job = uuid4()
    await connection.execute(
        "insert into headrace.jobs (id, lane, tenant, owner, priority, due_at, rank, wait_reason,"
        " input, state, worker, finished_at, cause) values ($1, 1, 't', 'o', 5, now(), now(),"
        " 'new', '1', $2, $3, case when $4 then now() end, $5)",
        job, state, worker_of(state), state in FINAL_STATES, cause_of(state),
    )  # fmt: skip
    return job


async def change(connection: Connection, job: UUID, state: JobState, *, run: int) -> None:
    """Change the state, with everything that has to change with it."""
    await connection.execute(
        "update headrace.jobs set state = $2, worker = $3, run = $6,"
        " finished_at = case when $4 then now() end, cause = $5 where id = $1",
        job, state, worker_of(state), state in FINAL_STATES, cause_of(state), run,
    )  # fmt: skip


def worker_of(state: JobState) -> int | None:
    return 1 if state is JobState.RUNNING else None


def cause_of(state: JobState) -> str | None:
    return "operator" if state is JobState.FAILED else None


class TestPairs:
    @pytest.mark.parametrize("run", [1, 2, 3], ids=["same run", "next run", "later run"])
    async def test_every_pair_is_allowed_or_refused_as_in_the_table(self, database: str, run: int):
        connection = await connect(database)
        allowed, refusals = set(), {}
        for before, after in PAIRS:
            job = await insert(connection, before)
            try:
                await change(connection, job, after, run=run)
            except asyncpg.CheckViolationError as error:
                refusals[before, after] = str(error)
            else:
                allowed.add((before, after))
        await connection.close()
        for (before, after), text in refusals.items():
            assert f"cannot go from {before} (run 1) to {after} (run {run})" in text
        same = {(state, state) for state in JobState}
        reopened = {(one, other) for one, other in allowed_pairs() if one in FINAL_STATES}
        expected = {(one, other) for one, other in allowed_pairs() if one is not None}
        assert allowed - same == (expected if run == 2 else expected - reopened)

    async def test_a_state_that_is_not_in_the_table_is_refused(self, database: str):
        connection = await connect(database)
        job = await insert(connection, JobState.QUEUED)
        with pytest.raises(asyncpg.CheckViolationError):
            await connection.execute("update headrace.jobs set state = 'paused' where id = $1", job)
        await connection.close()


class TestRows:
    @pytest.mark.parametrize(
        ("state", "column", "value", "constraint"),
        [
            (JobState.QUEUED, "worker", "1", "jobs_worker_iff_running"),
            (JobState.RUNNING, "worker", "null", "jobs_worker_iff_running"),
            (JobState.RUNNING, "finished_at", "now()", "jobs_finished_iff_terminal"),
            (JobState.COMPLETED, "finished_at", "null", "jobs_finished_iff_terminal"),
            (JobState.CANCELLED, "cause", "'operator'", "jobs_cause_iff_failed"),
            (JobState.FAILED, "cause", "null", "jobs_cause_iff_failed"),
            (JobState.QUEUED, "priority", "10", "jobs_priority"),
            (JobState.QUEUED, "priority", "-1", "jobs_priority"),
            (JobState.QUEUED, "run", "0", "jobs_run"),
        ],
    )
    async def test_one_that_contradicts_itself_is_refused(
        self, database: str, state: JobState, column: str, value: str, constraint: str
    ):
        connection = await connect(database)
        job = await insert(connection, state)
        with pytest.raises(asyncpg.CheckViolationError, match=constraint):
            await connection.execute(
                f"update headrace.jobs set {column} = {value} where id = $1",  # noqa: S608
                job,
            )
        await connection.close()


class TestSteps:
    @pytest.mark.parametrize(
        ("item", "state", "allowed"),
        [
            ("a", "failed", True),
            ("a", "completed", True),
            ("a", "pending", False),
            ("", "failed", False),
            ("", "planned", True),
        ],
    )
    async def test_only_an_item_is_stored_as_failed(
        self, database: str, item: str, state: str, *, allowed: bool
    ):
        connection = await connect(database)
        stored = connection.execute(
            "insert into headrace.steps (job, run, step, item, state, position, attempts, worker,"
            " token, latency_us) values ($1, 1, 'work', $2, $3, 0, 1, 1, 1, 1)",
            uuid4(), item, state,
        )  # fmt: skip
        if allowed:
            await stored
        else:
            with pytest.raises(asyncpg.CheckViolationError, match="steps_state"):
                await stored
        await connection.close()


class TestEvidence:
    @pytest.mark.parametrize("table", EVIDENCE)
    async def test_rows_that_tell_what_happened_are_never_changed(self, database: str, table: str):
        connection = await connect(database)
        with pytest.raises(asyncpg.CheckViolationError, match="its rows are evidence"):
            await connection.execute(f"update headrace.{table} set run = 2")  # noqa: S608
        with pytest.raises(asyncpg.CheckViolationError, match="its rows are evidence"):
            await connection.execute(f"delete from headrace.{table}")  # noqa: S608
        await connection.close()

    @pytest.mark.parametrize("table", EVIDENCE)
    async def test_retention_alone_may_delete_them(self, database: str, table: str):
        connection = await connect(database)
        async with connection.transaction():
            await connection.execute("select set_config('headrace.retention', 'on', true)")
            await connection.execute(f"delete from headrace.{table}")  # noqa: S608
            with pytest.raises(asyncpg.CheckViolationError):
                async with connection.transaction():
                    await connection.execute(f"update headrace.{table} set run = 2")  # noqa: S608
        await connection.close()
