import asyncio
import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from headrace import Headrace, JobHandle, JobState
from headrace.errors import (
    JobNotFoundError,
    OptionError,
    QueueNotFoundError,
    StepNotFoundError,
    TransitionError,
)
from headrace.store.entries import End
from headrace.store.reads import DeadLetterFilter, JobFilter
from tests.client.hand import IDEA, PLAN, Hand, in_hand, step
from tests.client.pipes import Decision, decide, urgent
from tests.engine_rows import Rows


async def failed(app: Headrace, rows: Rows, message: str = "dry") -> JobHandle[Decision]:
    """A job that failed at its last step."""
    handle, hand = await in_hand(app, rows)
    await hand.write(
        step("expand", "[0,1]"),
        step("note", '"x"'),
        PLAN,
    )
    error = json.dumps({"code": "ValueError", "class": "permanent", "message": message})
    await hand.write(
        step("review", "0", "0"),
        step("review", "2", "1"),
        end=End("failed", "failed", None, "permanent_error", error, "conclude", ""),
    )
    return handle


async def completed(app: Headrace, rows: Rows) -> JobHandle[Decision]:
    handle, hand = await in_hand(app, rows)
    await hand.complete()
    return handle


async def stored(rows: Rows, handle: JobHandle[Decision], run: int) -> set[tuple[str, str, int]]:
    found = await rows.connection.fetch(
        "select step, item, reused_from from headrace.steps where job = $1 and run = $2",
        UUID(handle.id), run,
    )  # fmt: skip
    return {tuple(row) for row in found}


BEFORE = {("expand", "", 1), ("note", "", 1)}
REVIEW = {("review", "", 1), ("review", "0", 1), ("review", "1", 1)}


class TestRetry:
    async def test_a_new_run_takes_over_all_that_is_stored(self, app: Headrace, rows: Rows) -> None:
        handle = await failed(app, rows)
        assert await app.retry(handle.id, reason="rain", actor="ann") == 2
        assert await stored(rows, handle, 2) == BEFORE | REVIEW
        status = await handle.status()
        assert (status.state, status.run, status.cause, status.error) == ("queued", 2, None, None)
        *_, last = await app.history(handle.id)
        assert (last.from_state, last.reason, last.actor, last.metadata) == (
            "failed", "retried", "ann", {"reason": "rain"},
        )  # fmt: skip
        assert len(await rows.claim(await rows.worker())) == 1

    async def test_a_step_and_all_that_depend_on_it_run_again(
        self, app: Headrace, rows: Rows
    ) -> None:
        handle = await failed(app, rows)
        assert await app.retry(handle.id, from_step="review") == 2
        assert await stored(rows, handle, 2) == BEFORE

    async def test_a_step_on_its_own_branch_leaves_the_others(
        self, app: Headrace, rows: Rows
    ) -> None:
        handle = await failed(app, rows)
        await app.retry(handle.id, from_step="note")
        assert await stored(rows, handle, 2) == REVIEW | {("expand", "", 1)}

    async def test_force_runs_everything_again(self, app: Headrace, rows: Rows) -> None:
        handle = await failed(app, rows)
        await app.retry(handle.id, force=True)
        assert await stored(rows, handle, 2) == set()
        assert len(await stored(rows, handle, 1)) == 5

    async def test_outputs_are_known_by_the_run_that_made_them(
        self, app: Headrace, rows: Rows
    ) -> None:
        handle = await failed(app, rows)
        await app.retry(handle.id)
        [claim] = await rows.claim(await rows.worker())
        await Hand(rows, claim).write(end=End("failed", "failed", None, "permanent_error"))
        assert await app.retry(handle.id, from_step="note") == 3
        assert await stored(rows, handle, 3) == REVIEW | {("expand", "", 1)}

    async def test_jobs_in_other_states_are_refused(self, app: Headrace, rows: Rows) -> None:
        running, _ = await in_hand(app, rows)
        done = await completed(app, rows)
        queued = await app.submit(decide, IDEA)
        for handle, state in ((queued, "queued"), (running, "running"), (done, "completed")):
            with pytest.raises(TransitionError, match=f"{state} cannot be retried"):
                await app.retry(handle.id)
            assert (await handle.status()).run == 1
        with pytest.raises(JobNotFoundError):
            await app.retry("0199b4e0-0000-7000-8000-000000000000")

    async def test_a_step_that_is_not_there_is_refused(self, app: Headrace, rows: Rows) -> None:
        handle = await failed(app, rows)
        with pytest.raises(StepNotFoundError, match="did you mean 'review'"):
            await app.retry(handle.id, from_step="reveiw")
        assert (await handle.status()).state == JobState.FAILED

    async def test_the_registered_graph_serves_where_the_code_is_not(
        self, app: Headrace, rows: Rows, database: str
    ) -> None:
        handle = await failed(app, rows)
        async with Headrace([], database=database) as other:
            await other.retry(handle.id, from_step="review")
        assert await stored(rows, handle, 2) == BEFORE


class TestReplay:
    async def test_a_completed_job_gets_another_run(self, app: Headrace, rows: Rows) -> None:
        handle = await completed(app, rows)
        assert await app.replay(handle.id, from_step="conclude") == 2
        assert await stored(rows, handle, 2) == BEFORE | REVIEW
        assert (await handle.status()).state == JobState.QUEUED

    async def test_it_says_where_to_begin(self, app: Headrace, rows: Rows) -> None:
        handle = await completed(app, rows)
        with pytest.raises(OptionError, match="from_step"):
            await app.replay(handle.id)

    async def test_a_failed_job_is_not_replayed(self, app: Headrace, rows: Rows) -> None:
        handle = await failed(app, rows)
        with pytest.raises(TransitionError):
            await app.replay(handle.id, force=True)


class TestDeadLetters:
    async def test_they_are_listed_until_they_are_redriven(self, app: Headrace, rows: Rows) -> None:
        handle = await failed(app, rows, "the mill is dry")
        [letter] = (await app.list_dead_letters()).items
        assert (letter.job, letter.run, letter.cause, letter.code, letter.step) == (
            handle.id, 1, "permanent_error", "ValueError", "conclude",
        )  # fmt: skip
        assert (letter.message, letter.error_class) == ("the mill is dry", "permanent")
        await app.retry(handle.id)
        assert not (await app.list_dead_letters()).items

    async def test_filters_choose(self, app: Headrace, rows: Rows) -> None:
        dry = await failed(app, rows, "the mill is DRY")
        wet = await failed(app, rows, "the mill is wet")
        hour = timedelta(hours=1)
        now = datetime.now(UTC)
        both = {dry.id, wet.id}
        for wanted, expected in (
            (DeadLetterFilter(text="dry"), {dry.id}),
            (DeadLetterFilter(jobs=[UUID(wet.id)]), {wet.id}),
            (DeadLetterFilter(pipeline="decide", tenant="default", cause="permanent_error"), both),
            (DeadLetterFilter(code="ValueError", owner="default"), both),
            (DeadLetterFilter(pipeline="urgent"), set()),
            (DeadLetterFilter(failed_since=now - hour, failed_before=now + hour), both),
            (DeadLetterFilter(failed_since=now + hour), set()),
        ):
            found = (await app.list_dead_letters(wanted)).items
            assert {letter.job for letter in found} == expected, wanted

    async def test_a_page_leads_to_the_next(self, app: Headrace, rows: Rows) -> None:
        ids = [(await failed(app, rows)).id for _ in range(3)]
        first = await app.list_dead_letters(limit=2)
        rest = await app.list_dead_letters(limit=2, cursor=first.next)
        assert [letter.job for letter in (*first.items, *rest.items)] == ids[::-1]
        assert rest.next is None

    async def test_a_dry_run_only_counts(self, app: Headrace, rows: Rows) -> None:
        handle = await failed(app, rows)
        found = await app.redrive(DeadLetterFilter(), dry_run=True)
        assert (found.matched, found.runs) == (1, {})
        assert (await handle.status()).run == 1

    async def test_all_that_match_are_redriven_at_the_given_rate(
        self, app: Headrace, rows: Rows
    ) -> None:
        handles = [await failed(app, rows, "dry") for _ in range(3)]
        other = await failed(app, rows, "wet")
        started = asyncio.get_running_loop().time()
        done = await app.redrive(DeadLetterFilter(text="dry"), per_second=20, force=True)
        assert asyncio.get_running_loop().time() - started >= 2 / 20
        assert done.runs == {handle.id: 2 for handle in handles}
        assert (done.matched, done.skipped) == (3, 0)
        assert (await other.status()).run == 1
        with pytest.raises(OptionError, match="per_second"):
            await app.redrive(DeadLetterFilter(), per_second=0)


class TestQueues:
    async def test_a_paused_queue_starts_nothing_new(self, app: Headrace, rows: Rows) -> None:
        await app.submit(decide, IDEA)
        worker = await rows.worker()
        await app.pause_queue("default", reason="flood", actor="ann")
        assert not await rows.claim(worker)
        status = {queue.name: queue for queue in await app.list_queues()}["default"]
        assert (status.paused_by, status.pause_reason) == ("ann", "flood")
        assert await app.resume_queue("default")
        assert not await app.resume_queue("default")
        assert len(await rows.claim(worker)) == 1

    async def test_they_show_what_waits_and_runs(self, app: Headrace, rows: Rows) -> None:
        await app.submit_many(decide, [IDEA] * 3)
        await rows.claim(await rows.worker(), 1)
        await app.submit(decide, IDEA, due=timedelta(hours=1))
        await app.submit(urgent, 1)
        await rows.wait(timedelta(seconds=90))
        default, other = await app.list_queues()
        assert (default.name, default.depth, default.due, default.running) == ("default", 3, 2, 1)
        assert default.oldest_age_s is not None
        assert 90 <= default.oldest_age_s < 120
        assert (other.name, other.depth, other.running) == ("urgent", 1, 0)

    async def test_a_queue_that_is_not_there_is_refused(self, app: Headrace) -> None:
        await app.submit(decide, IDEA)
        with pytest.raises(QueueNotFoundError, match="did you mean 'default'"):
            await app.pause_queue("defualt")


class TestLists:
    async def test_jobs_come_newest_first_and_in_pages(self, app: Headrace) -> None:
        ids = [handle.id for handle in await app.submit_many(decide, [IDEA] * 5)]
        first = await app.list_jobs(limit=3)
        rest = await app.list_jobs(limit=3, cursor=first.next)
        assert [job.id for job in (*first.items, *rest.items)] == ids[::-1]
        assert rest.next is None
        assert first.items[0].input_preview == '{"title":"a mill","size":2}'

    async def test_filters_choose(self, app: Headrace, rows: Rows) -> None:
        done = await completed(app, rows)
        lone = await app.submit(
            urgent, 1, tenant="mill", owner="ann", correlation_id="c", priority=9, parent=done.id
        )
        now = datetime.now(UTC)
        for wanted, expected in (
            (JobFilter(states=["completed"]), {done.id}),
            (JobFilter(states=["queued", "completed"]), {done.id, lone.id}),
            (JobFilter(tenant="mill", owner="ann"), {lone.id}),
            (JobFilter(pipeline="urgent", queue="urgent", priority=9), {lone.id}),
            (JobFilter(wait_reason="new"), {lone.id}),
            (JobFilter(correlation_id="c", parent_job=UUID(done.id)), {lone.id}),
            (JobFilter(cause="worker_lost"), set()),
            (JobFilter(created_since=now - timedelta(hours=1)), {done.id, lone.id}),
            (JobFilter(created_before=now - timedelta(hours=1)), set()),
        ):
            found = (await app.list_jobs(wanted)).items
            assert {job.id for job in found} == expected, wanted

    async def test_bad_pages_are_refused(self, app: Headrace) -> None:
        for limit in (0, 1_001):
            with pytest.raises(OptionError, match="limit"):
                await app.list_jobs(limit=limit)
        with pytest.raises(OptionError, match="cursor"):
            await app.list_jobs(cursor="x")
        with pytest.raises(OptionError, match="cursor"):
            await app.list_dead_letters(cursor="x_y")

    async def test_jobs_that_nobody_carries_are_counted(self, app: Headrace, rows: Rows) -> None:
        await app.submit_many(urgent, [1, 2])
        await app.submit(decide, IDEA)
        await rows.worker()
        await rows.connection.execute("update headrace.workers set lanes = $1", [rows.lane])
        [lane] = await app.list_unclaimable()
        assert (lane.queue, lane.pipeline, lane.version, lane.jobs) == (
            "urgent", "urgent", "1.0.0", 2,
        )  # fmt: skip

    async def test_workers_are_listed_and_drained(self, app: Headrace, rows: Rows) -> None:
        first, second = await rows.worker(), await rows.worker()
        assert await app.drain_workers([first]) == [first]
        states = {worker.id: worker.state for worker in await app.list_workers()}
        assert states == {first: "draining", second: "alive"}
        assert sorted(await app.drain_workers()) == [first, second]

    async def test_pipelines_are_registered_with_their_definition(self, app: Headrace) -> None:
        await app.submit(decide, IDEA)
        known = {pipeline.name: pipeline for pipeline in await app.list_pipelines()}["decide"]
        assert (known.version, known.hash, list(known.queues)) == (
            "1.2.0", decide.definition_hash, ["default"],
        )  # fmt: skip
        assert [one["name"] for one in known.definition["steps"]] == list(decide.steps)
