"""Documents that wait for another system: workers die, time passes, versions change."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from headrace import JobState
from headrace.pipelines.documents import Library
from headrace.pipelines.documents.pipeline import define, parsed_elsewhere, parsed_here
from tests.documents.elsewhere import (
    OTHER,
    PARSED,
    TEXT,
    Elsewhere,
    Sent,
    parsing_elsewhere,
    unasked,
)
from tests.documents.trial import TRIAL
from tests.waiting import eventually


@pytest.fixture
async def apart(vector_server: str) -> AsyncIterator[Elsewhere]:
    """A parser that calls back when the test says so; nothing runs before the test says so."""
    TRIAL.reset()
    async with parsing_elsewhere(vector_server) as made:
        yield made
    TRIAL.reset()


class TestWaiting:
    async def test_a_worker_that_is_killed_meanwhile_takes_nothing_with_it(self, apart: Elsewhere):
        sent = await apart.send()
        async with apart.engine.spawn(
            "headrace.pipelines.documents.pipeline:parsed_elsewhere"
        ) as process:
            call = await apart.handed_over(sent)
            process.kill()
        assert (await apart.call_back(call)).status == 204  # nobody is there
        async with apart.engine.worker():
            await apart.until_stage(sent, "complete")
        assert len(apart.parser.calls) == 1

    async def test_an_answer_may_come_before_the_step_that_asks_has_ended(self, apart: Elsewhere):
        sent = await apart.send()
        assert (await apart.call_back(unasked(apart, sent.job), PARSED)).status == 204
        async with apart.engine.worker():
            await apart.until_stage(sent, "complete")

    async def test_too_late_is_a_failure_that_says_so_and_a_retry_asks_again(
        self, apart: Elsewhere
    ):
        async with apart.engine.worker():
            sent, call = await apart.wait()
            failed = await expired(apart, sent)
            assert failed["problem"]["code"] == "PARSER_TIMEOUT"
            assert "not called back within 1,800 s" in failed["problem"]["message"]
            assert await retried(apart, sent) == 2
            again = await apart.handed_over(sent, run=2)
            stale = await apart.call_back(call, OTHER, at=later())
            assert (stale.status, await apart.stage(sent)) == (204, "parse_queued")
            assert (await apart.call_back(again, at=later())).status == 204
            await apart.until_stage(sent, "complete")
            assert "heron" not in await apart.text(sent), "the answer to the run before is late"

            sent, call = await apart.wait()
            await expired(apart, sent)
            assert (await apart.call_back(call, at=later(2))).status == 204
            assert await apart.stage(sent) == "failed_parse"
            await retried(apart, sent)  # which finds what came too late
            await apart.until_stage(sent, "complete")
            assert len(apart.calls(sent)) == 1

            await apart.engine.move_clock(timedelta(hours=24))
            await apart.call_back(call, {"state": "processing"}, at=later(2) + 86_400)
        async with apart.engine.connection() as connection:
            kept = await connection.fetchval("select count(*) from headrace_documents.callbacks")
        assert kept == 1, "nonces of the day before are forgotten"

    async def test_a_new_run_that_does_not_ask_again_takes_the_answer_to_the_one_before(
        self, apart: Elsewhere
    ):
        async with apart.engine.worker():
            sent, call = await apart.wait()
            await expired(apart, sent)
            await apart.engine.app.retry(sent.job, reason="as a dead letter")
            await eventually(lambda: apart.waits(sent.job), within=30)
            assert (await apart.call_back(call, at=later())).status == 204
            await apart.until_stage(sent, "complete")
        assert len(apart.parser.calls) == 1


def later(times: int = 1) -> float:
    """After so many waits, by the clock of the engine."""
    return time.time() + times * 1_801


async def expired(town: Elsewhere, sent: Sent) -> dict[str, Any]:
    """Let the time of a document be over."""
    await town.engine.move_clock(timedelta(seconds=1_801))
    return await town.until_stage(sent, "failed_parse")


async def retried(town: Elsewhere, sent: Sent) -> int:
    path = f"/v1/documents/{sent.id}/retry"
    answer = await town.client.post(path, json={"reason": "it is back"})
    assert answer.status_code == 202, answer.text
    return int(answer.json()["run"])


class TestChanges:
    async def test_a_document_of_the_version_before_is_finished_without_another_parse(
        self, apart: Elsewhere
    ):
        before = define("local", "1.0.0")
        TRIAL.failure = RuntimeError("busy")
        async with apart.engine.app_with([before]) as app, apart.engine.worker(app=app):
            added = await Library(app).add(TEXT.encode(), name="mill.md", owner="ann")
            await eventually(lambda: apart.engine.tries(added.job), within=30)
        TRIAL.failure = None
        async with apart.engine.app_with([parsed_elsewhere]) as app, apart.engine.worker(app=app):
            await apart.engine.run_until_empty(40, skip_waits=True)
            job = await apart.engine.job(added.job.id)
        assert (job.state, job.version) == (JobState.COMPLETED, "1.0.0")
        steps = [step.step for step in await apart.engine.steps(added.job.id)]
        assert steps.count("parse") == 1

    async def test_what_waits_goes_on_where_the_workers_parse_by_now(self, apart: Elsewhere):
        async with apart.engine.worker():
            sent, _ = await apart.wait()
        async with apart.engine.app_with([parsed_here]) as app, apart.engine.worker(app=app):
            await apart.engine.run_until_empty(40, skip_waits=True)
        assert await apart.stage(sent) == "complete"
