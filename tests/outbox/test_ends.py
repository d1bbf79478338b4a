"""Every way in which a job ends writes its events, in the same transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final
from uuid import UUID

import pytest

from headrace.store.forcing import fail_job, force_release, purge_queue
from headrace.store.operations import cancel_job
from headrace.store.sql import SQL
from headrace.store.workers import recover_jobs
from tests.engine_rows import HEAD_START, RULES, Rows
from tests.outbox.rows import (
    events_of,
    fail_in_a_step,
    finish,
    lose_workers_again_and_again,
    pass_the_deadline,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def complete_after_steps(rows: Rows) -> UUID:
    (claim,) = await rows.claimed()
    await rows.checkpoint(claim, ["step"])
    await rows.end(claim, result_step="step")
    return UUID(str(claim["id"]))


async def cancel_while_queued(rows: Rows) -> UUID:
    (job,) = await rows.submit()
    await cancel_job(rows.connection, job, by="somebody", reason="changed my mind")
    return job


async def cancel_while_running(rows: Rows) -> UUID:
    (claim,) = await rows.claimed()
    await cancel_job(rows.connection, claim["id"], by="somebody", reason=None)
    await rows.end(claim)
    return UUID(str(claim["id"]))


async def cancel_and_finish(rows: Rows) -> UUID:
    (claim,) = await rows.claimed()
    await cancel_job(rows.connection, claim["id"], by="somebody", reason=None)
    await rows.connection.execute(
        SQL["ledger.finish_jobs"],
        [claim["id"]], [claim["token"]], ["step"], [0], [1], [1], ["7"], ["step"], 1,
    )  # fmt: skip
    return UUID(str(claim["id"]))


async def cancel_and_release(rows: Rows) -> UUID:
    (claim,) = await rows.claimed()
    await cancel_job(rows.connection, claim["id"], by="somebody", reason=None)
    await rows.connection.execute(
        SQL["ledger.release_jobs"],
        *([claim["id"]], [0.0], ["released"], [None], 1, HEAD_START, [None], [None]),
    )
    return UUID(str(claim["id"]))


async def lose_the_worker_and_cancel(rows: Rows) -> UUID:
    (claim,) = await rows.claimed()
    await rows.value("operations.request_cancel", claim["id"], "user", None)
    await recover_jobs(rows.connection, claim["token"], rules=RULES, reaper=1)
    return UUID(str(claim["id"]))


async def fail_by_an_operator(rows: Rows) -> UUID:
    (job,) = await rows.submit()
    await fail_job(rows.connection, job, by="operator", reason="stuck")
    return job


async def fail_by_an_operator_while_running(rows: Rows) -> UUID:
    (claim,) = await rows.claimed()
    await fail_job(rows.connection, claim["id"], by="operator", reason="stuck")
    return UUID(str(claim["id"]))


async def cancel_and_force_the_release(rows: Rows) -> UUID:
    (claim,) = await rows.claimed()
    await cancel_job(rows.connection, claim["id"], by="somebody", reason=None)
    await force_release(
        rows.connection, claim["id"], by="operator", reason="stuck", head_start=HEAD_START
    )
    return UUID(str(claim["id"]))


async def purge_the_queue(rows: Rows) -> UUID:
    (job,) = await rows.submit()
    before = await rows.connection.fetchval("select clock_timestamp()")
    await purge_queue(rows.connection, "default", by="operator", reason="wrong", before=before)
    return job


Way = Callable[[Rows], Awaitable[UUID]]
WAYS: Final[dict[Way, str]] = {
    finish: "completed",
    complete_after_steps: "completed",
    fail_in_a_step: "failed",
    cancel_while_queued: "cancelled",
    cancel_while_running: "cancelled",
    cancel_and_finish: "cancelled",
    cancel_and_release: "cancelled",
    pass_the_deadline: "failed",
    lose_the_worker_and_cancel: "cancelled",
    lose_workers_again_and_again: "failed",
    fail_by_an_operator: "failed",
    fail_by_an_operator_while_running: "failed",
    cancel_and_force_the_release: "cancelled",
    purge_the_queue: "cancelled",
}


class TestEnds:
    @pytest.mark.parametrize(
        ("way", "state"), WAYS.items(), ids=lambda one: getattr(one, "__name__", None)
    )
    async def test_a_job_that_ends_has_its_events_in_the_same_transaction(
        self, told: Rows, way: Way, state: str
    ) -> None:
        job = await way(told)
        row = await told.connection.fetchrow(
            "select state, xmin::text as written from headrace.jobs where id = $1", job
        )
        assert row is not None
        assert row["state"] == state
        ends = [event for event in await events_of(told, job) if event["written"] == row["written"]]
        dead = ["dead_letter"] if state == "failed" else []
        assert sorted(event["kind"] for event in ends) == sorted([*dead, f"job.{state}", "result"])

    @pytest.mark.parametrize("way", WAYS, ids=lambda one: one.__name__)
    async def test_an_end_that_is_rolled_back_has_none(self, told: Rows, way: Way) -> None:
        transaction = told.connection.transaction()
        await transaction.start()
        await way(told)
        assert await told.count("outbox") > 0
        await transaction.rollback()
        assert await told.count("outbox") == 0

    async def test_every_statement_that_can_end_a_job_is_tried(self) -> None:
        """One that writes history in another way would be seen here."""
        writers = {one.name for one in SQL if "insert into headrace.job_events" in one.text}
        begins = {
            name
            for name in writers
            if name.split(".")[0] in {"submit", "requests", "claims", "gates"}
        }
        others = {"operations.reopen_job", "erasure.put_events"}
        assert writers - begins - others == {
            "ledger.finish_jobs",
            "ledger.end_jobs",
            "ledger.release_jobs",
            "operations.cancel_queued",
            "recovery.recover_jobs",
            "recovery.expire_queued",
            "forcing.fail_job",
            "forcing.purge_queue",
            "forcing.release_running",
        }
