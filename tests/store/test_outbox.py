"""Every change of a job that somebody wants to hear of has its event, in the same transaction."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from headrace.store.databases import fresh_database
from headrace.store.forcing import fail_job, force_release, purge_queue
from headrace.store.operations import cancel_job
from headrace.store.outbox import open_outbox, set_topic
from headrace.store.sql import SQL
from headrace.store.workers import expire_queued, recover_jobs
from tests.engine_rows import HEAD_START, RULES, Rows

ENDS: Final = ("completed", "failed", "cancelled")


pytestmark = pytest.mark.asyncio(loop_scope="module")

AS_NEW: Final = """
truncate headrace.jobs, headrace.queued, headrace.claims, headrace.steps, headrace.tries,
    headrace.progress, headrace.job_events, headrace.dead_letters, headrace.pipelines,
    headrace.webhooks, headrace.topics, headrace.outbox;
drop trigger if exists job_events_outbox on headrace.job_events;
create or replace function headrace.now() returns timestamptz
language sql stable parallel safe return statement_timestamp();
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address(database_server: str, template: str) -> AsyncIterator[str]:
    async with fresh_database(database_server, template) as address:
        yield address


@pytest_asyncio.fixture(loop_scope="module")
async def rows(address: str) -> AsyncIterator[Rows]:
    rows = await Rows.open(address)
    await rows.connection.execute(AS_NEW)
    yield rows
    await rows.close()


@pytest_asyncio.fixture(loop_scope="module")
async def told(rows: Rows) -> Rows:
    """With a webhook of the tenant for all that happens, and both topics."""
    await subscribe(rows, events=["job.queued", "job.running", *(f"job.{end}" for end in ENDS)])
    await set_topic(rows.connection, "results", "results")
    await set_topic(rows.connection, "dead-letters", "dead")
    return rows


async def subscribe(
    rows: Rows,
    *,
    tenant: str = "tenant",
    owner: str | None = None,
    job: UUID | None = None,
    events: list[str] | None = None,
    url: str = "https://receiver.example/hook",
) -> UUID:
    webhook: UUID = await rows.connection.fetchval(
        "insert into headrace.webhooks (tenant, owner, job, url, created_by, events)"
        " values ($1, $2, $3, $4, 'test', $5) returning id",
        *(tenant, owner, job, url, events or [f"job.{end}" for end in ENDS]),
    )
    return webhook


async def events_of(rows: Rows, job: UUID | None = None) -> list[asyncpg.Record]:
    return await rows.connection.fetch(
        "select *, xmin::text as written from headrace.outbox"
        " where $1::uuid is null or job = $1 order by id",
        job,
    )


async def kinds_of(rows: Rows, job: UUID | None = None) -> list[str]:
    return sorted(event["kind"] for event in await events_of(rows, job))


# --- every way in which a job ends ----------------------------------------------------------------


async def finish(rows: Rows) -> UUID:
    (claim,) = await rows.claimed()
    await rows.connection.execute(
        SQL["ledger.finish_jobs"],
        [claim["id"]], [claim["token"]], ["step"], [0], [1], [1], ["7"], ["step"], 1,
    )  # fmt: skip
    return UUID(str(claim["id"]))


async def complete_after_steps(rows: Rows) -> UUID:
    (claim,) = await rows.claimed()
    await rows.checkpoint(claim, ["step"])
    await rows.end(claim, result_step="step")
    return UUID(str(claim["id"]))


async def fail_in_a_step(rows: Rows) -> UUID:
    (claim,) = await rows.claimed()
    await rows.end(claim, "failed")
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
        SQL["ledger.release_jobs"], [claim["id"]], [0.0], ["released"], [None], 1, HEAD_START
    )
    return UUID(str(claim["id"]))


async def pass_the_deadline(rows: Rows) -> UUID:
    at = await rows.connection.fetchval("select headrace.now() + interval '1 s'")
    (job,) = await rows.submit(deadline=at)
    await rows.wait(timedelta(seconds=2))
    await expire_queued(rows.connection)
    return job


async def lose_the_worker_and_cancel(rows: Rows) -> UUID:
    (claim,) = await rows.claimed()
    await rows.value("operations.request_cancel", claim["id"], "user", None)
    await recover_jobs(rows.connection, claim["token"], rules=RULES, reaper=1)
    return UUID(str(claim["id"]))


async def lose_workers_again_and_again(rows: Rows) -> UUID:
    (claim,) = await rows.claimed()
    job = UUID(str(claim["id"]))
    await rows.connection.execute("update headrace.jobs set suspicion = 2 where id = $1", job)
    await rows.record_start(claim, 1)
    await rows.connection.execute("update headrace.progress set charges = 2 where job = $1", job)
    await recover_jobs(rows.connection, claim["token"], rules=RULES, reaper=1)
    return job


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
            name for name in writers if name.split(".")[0] in {"submit", "requests", "claims"}
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


class TestOtherChanges:
    async def test_a_webhook_hears_what_it_asked_for(self, rows: Rows) -> None:
        await subscribe(rows, events=["job.running"])
        await finish(rows)
        assert await kinds_of(rows) == ["job.running"]

    async def test_all_that_happens_to_a_job_is_told_in_order(self, told: Rows) -> None:
        job = await finish(told)
        events = [
            json.loads(event["payload"]) for event in await events_of(told, job) if event["webhook"]
        ]
        assert [event["type"] for event in events] == ["job.queued", "job.running", "job.completed"]
        assert [event["data"]["seq"] for event in events] == [1, 2, 3]

    async def test_nothing_is_written_for_other_tenants_and_owners(self, rows: Rows) -> None:
        await subscribe(rows, tenant="other")
        await subscribe(rows, owner="somebody else")
        await finish(rows)
        assert await rows.count("outbox") == 0

    async def test_a_webhook_of_an_owner_and_one_of_the_tenant_both_hear(self, rows: Rows) -> None:
        mine, whole = await subscribe(rows, owner="owner"), await subscribe(rows)
        await finish(rows)
        assert {event["webhook"] for event in await events_of(rows)} == {mine, whole}

    async def test_a_jobs_own_webhook_hears_of_it_alone(self, rows: Rows) -> None:
        first, second = await rows.claimed(2)
        own = await subscribe(rows, job=first["id"])
        await rows.end(first)
        await rows.end(second)
        assert [(event["webhook"], event["job"]) for event in await events_of(rows)] == [
            (own, first["id"])
        ]

    async def test_a_disabled_webhook_hears_nothing(self, rows: Rows) -> None:
        await subscribe(rows)
        await rows.connection.execute(
            "update headrace.webhooks set disabled_at = now(), disabled_reason = 'gone'"
        )
        await finish(rows)
        assert await rows.count("outbox") == 0

    async def test_a_new_run_is_told_under_its_number(self, told: Rows) -> None:
        job = await fail_in_a_step(told)
        await told.value("operations.reopen_job", job, "somebody", "retry", None, HEAD_START)
        (claim,) = await told.claim(await told.worker())
        await told.end(claim)
        results = [
            json.loads(event["payload"])
            for event in await events_of(told, job)
            if event["kind"] == "result"
        ]
        assert [(result["run"], result["status"]) for result in results] == [
            (1, "error"),
            (2, "success"),
        ]


class TestWhatIsSaid:
    async def test_a_result_names_the_job_and_where_its_output_is(self, told: Rows) -> None:
        job = await finish(told)
        (event,) = [event for event in await events_of(told, job) if event["kind"] == "result"]
        said = json.loads(event["payload"])
        times = {name: said.pop(name) for name in ("queued_at", "started_at", "completed_at")}
        assert list(times.values()) == sorted(times.values())
        assert all(at.endswith("Z") for at in times.values())
        assert 0 <= said.pop("execution_time_ms") < 60_000
        assert said == {
            "event_id": str(event["event_id"]), "job_id": str(job), "run": 1, "seq": 3,
            "tenant": "tenant", "pipeline": "pipe", "version": "1.0.0", "state": "completed",
            "status": "success", "output_ref": f"/v1/jobs/{job}/result", "attempts": 1,
        }  # fmt: skip
        assert json.loads(event["attributes"]) == {
            "job_id": str(job), "run": "1", "pipeline": "pipe", "kind": "result", "priority": "5",
            "status": "success", "tenant": "tenant", "v": "1",
        }  # fmt: skip
        assert (event["topic"], event["ordering_key"]) == ("results", str(job))

    async def test_a_dead_letter_names_cause_and_history(self, told: Rows) -> None:
        job = await lose_workers_again_and_again(told)
        (event,) = [event for event in await events_of(told, job) if event["kind"] == "dead_letter"]
        said = json.loads(event["payload"])
        assert (said["reason"], said["step"], said["attempts"]) == ("worker_lost", "step", 3)
        assert (said["error"]["code"], said["error"]["class"]) == ("WORKER_LOST", "poison")
        assert [turn["to"] for turn in said["history"]] == ["queued", "running", "failed"]
        assert said["lease_losses"] == 1

    async def test_a_passed_deadline_is_a_timeout(self, told: Rows) -> None:
        job = await pass_the_deadline(told)
        (event,) = [event for event in await events_of(told, job) if event["kind"] == "result"]
        assert json.loads(event["payload"])["status"] == "timeout"

    async def test_input_and_metadata_of_a_job_are_not_in_its_results(self, told: Rows) -> None:
        (job,) = await told.submit()
        await told.connection.execute(
            """update headrace.jobs set input = '"CANARY"', parameters = '"CANARY"',"""
            """ metadata = '"CANARY"' where id = $1""",
            job,
        )
        (claim,) = await told.claim(await told.worker())
        await told.end(claim)
        assert not [event for event in await events_of(told) if "CANARY" in event["payload"]]

    @pytest.mark.parametrize(
        ("output", "said"),
        [
            ('{"b": null, "a": 1.0}', '"output":{"b": null, "a": 1.0}}'),
            ("null", '"output":null}'),
            (json.dumps("x" * 65_535), None),
        ],
        ids=["object", "null", "more than 64 KiB"],
    )
    async def test_an_output_leaves_where_its_pipeline_allows_it_and_as_it_is(
        self, told: Rows, output: str, said: str | None
    ) -> None:
        await told.connection.execute(
            "insert into headrace.pipelines (name, version, hash, definition, inline_output)"
            " values ('pipe', '1.0.0', '', '{}', true)"
        )
        (claim,) = await told.claimed()
        await told.connection.execute(
            SQL["ledger.finish_jobs"],
            [claim["id"]], [claim["token"]], ["step"], [0], [1], [1], [output], ["step"], 1,
        )  # fmt: skip
        (event,) = [event for event in await events_of(told) if event["kind"] == "result"]
        if said is None:
            assert "output" not in json.loads(event["payload"])
        else:
            assert event["payload"].endswith(said)

    async def test_no_output_leaves_where_nobody_allowed_it(self, told: Rows) -> None:
        await finish(told)
        assert not [event for event in await events_of(told) if '"output":' in event["payload"]]

    async def test_erased_it_says_no_more_than_that_it_happened(self, told: Rows) -> None:
        words = (
            '{"error": {"code": "X", "message": "CANARY"}, "metadata": "CANARY", "status": "error"}'
        )
        plain, nested = [
            json.loads(await told.connection.fetchval("select headrace.without_content($1)", text))
            for text in (words, f'{{"type": "job.failed", "data": {words}}}')
        ]
        bare: dict[str, Any] = {"error": {"code": "X"}, "status": "error"}
        assert (plain, nested) == (bare, {"type": "job.failed", "data": bare})


class TestIdle:
    async def test_nothing_watches_jobs_before_the_first_subscription(self, rows: Rows) -> None:
        assert await watchers(rows) == ["job_events_evidence"]
        await finish(rows)
        await subscribe(rows)
        assert await watchers(rows) == ["job_events_evidence", "job_events_outbox"]

    async def test_a_topic_is_a_subscription_too(self, rows: Rows) -> None:
        await set_topic(rows.connection, "results", "results")
        assert "job_events_outbox" in await watchers(rows)

    async def test_it_can_be_opened_before(self, rows: Rows) -> None:
        assert [await open_outbox(rows.connection) for _ in range(2)] == [True, False]
        await finish(rows)
        assert await rows.count("outbox") == 0

    async def test_opening_gives_up_soon_behind_a_transaction_that_submits(
        self, rows: Rows, address: str
    ) -> None:
        other = await Rows.open(address)
        async with rows.connection.transaction():
            await rows.submit()
            with pytest.raises(asyncpg.LockNotAvailableError):
                await open_outbox(other.connection)
        assert await open_outbox(other.connection)
        await other.close()

    async def test_a_topic_that_is_taken_away_hears_nothing_more(self, rows: Rows) -> None:
        await set_topic(rows.connection, "results", "results")
        await set_topic(rows.connection, "results", None)
        await finish(rows)
        assert await rows.count("outbox") == 0


async def watchers(rows: Rows) -> list[str]:
    found = await rows.connection.fetch(
        "select tgname from pg_trigger where tgrelid = 'headrace.job_events'::regclass order by 1"
    )
    return [row["tgname"] for row in found]
