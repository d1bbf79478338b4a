"""What is told of a job, to whom, and when nothing is."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from headrace import Pipeline
from headrace.store.lanes import register
from headrace.store.outbox import measure_outbox, open_outbox, set_topic
from headrace.store.signals import read_signals
from headrace.store.sql import SQL
from tests.engine_rows import HEAD_START, Rows
from tests.outbox.rows import (
    events_of,
    fail_in_a_step,
    finish,
    kinds_of,
    lose_workers_again_and_again,
    pass_the_deadline,
    subscribe,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


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
            '{"error": {"code": "X", "message": "CANARY"}, "status": "error",'
            ' "metadata": {"CANARY": "\\u0000"}, "output": "\\\\\\u0000\\\\u0000"}'
        )
        plain, nested = [
            json.loads(await told.connection.fetchval("select headrace.without_content($1)", text))
            for text in (words, f'{{"type": "job.failed", "data": {words}}}')
        ]
        bare: dict[str, Any] = {"error": {"code": "X"}, "status": "error"}
        assert (plain, nested) == (bare, {"type": "job.failed", "data": bare})

    async def test_what_no_text_of_the_database_can_hold_fails_no_job(self, told: Rows) -> None:
        (claim,) = await told.claimed()
        await told.connection.execute(
            """update headrace.jobs set metadata = '{"a": "\\u0000"}' where id = $1""", claim["id"]
        )
        await told.end(claim, "failed")
        (event,) = [event for event in await events_of(told) if event["kind"] == "dead_letter"]
        assert json.loads(event["payload"])["metadata"] == {"a": "\0"}

    async def test_the_time_of_all_claims_of_the_run_is_told_and_no_wait(self, told: Rows) -> None:
        (claim,) = await told.claimed()
        await told.connection.execute(
            SQL["ledger.release_jobs"],
            *([claim["id"]], [0.0], ["released"], [None], 1, HEAD_START, [None], [None]),
        )
        (again,) = await told.claim(1)
        hour = timedelta(hours=1)
        await told.connection.execute("alter table headrace.job_events disable trigger all")
        for seq, at in enumerate([0 * hour, 1 * hour, 3 * hour, 7 * hour], start=1):
            await told.connection.execute(
                "update headrace.job_events set at = clock_timestamp() - interval '15 h' + $1"
                " where seq = $2",
                *(at, seq),
            )
        await told.connection.execute("alter table headrace.job_events enable trigger all")
        await told.end(again)
        (event,) = [event for event in await events_of(told) if event["kind"] == "result"]
        took = json.loads(event["payload"])["execution_time_ms"]
        assert took == pytest.approx(10 * 3_600_000, abs=60_000)


class TestLateness:
    async def test_nothing_is_late_where_nothing_waits(self, rows: Rows) -> None:
        assert await measure_outbox(rows.connection) == (0, 0)

    async def test_a_message_is_late_since_it_was_written(self, told: Rows) -> None:
        await finish(told)
        await told.wait(timedelta(seconds=40))
        late = await measure_outbox(told.connection)
        assert late == (pytest.approx(40, abs=10), pytest.approx(40, abs=10))

    async def test_metrics_tell_it(self, told: Rows) -> None:
        await finish(told)
        await told.wait(timedelta(seconds=40))
        assert (await read_signals(told.connection)).outbox.topics_s >= 40


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


class TestPipelines:
    async def test_one_says_whether_its_outputs_leave_and_may_change_its_mind(
        self, rows: Rows
    ) -> None:
        for allowed in (True, False):
            pipeline = Pipeline("pipe", input=int, output=int, inline_output=allowed)
            pipeline.step(same)
            await register(rows.connection, pipeline)
            assert allowed == await rows.connection.fetchval(
                "select inline_output from headrace.pipelines"
            )


async def same(number: int) -> int:
    return number
