import asyncio
import json
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from headrace import Headrace, JobState
from headrace.errors import (
    CheckpointCorruptError,
    JobCancelledError,
    JobFailedError,
    JobNotFoundError,
    TransitionError,
)
from headrace.model.job import StepState
from headrace.store.artifacts import ArtifactKey, FolderArtifacts
from headrace.store.entries import End, StepRow, TryRow
from tests.client.hand import IDEA, PLAN, WORKER, Hand, in_hand, step
from tests.client.pipes import Decision, Idea, decide
from tests.engine_rows import Rows
from tests.proxy import proxy_to
from tests.waiting import eventually


class TestStatus:
    async def test_a_queued_job_lists_every_step_as_pending(self, app: Headrace) -> None:
        status = await (await app.submit(decide, IDEA)).status()
        assert [(one.name, one.state) for one in status.steps] == [
            (name, StepState.PENDING) for name in ("expand", "review", "note", "conclude")
        ]
        assert (status.state, status.version, status.progress) == (JobState.QUEUED, "1.2.0", 0.0)

    async def test_a_fan_out_shows_its_items_and_counts_in_part(
        self, app: Headrace, rows: Rows
    ) -> None:
        handle, hand = await in_hand(app, rows)
        await hand.write(
            step("expand", "[0,1]"),
            PLAN,
        )
        await hand.write(
            step("review", "0", "0"),
            tries=(TryRow("review", "1", 1, 900, "unknown", "ValueError", "no", None, 3600.0),),
        )
        status = await handle.status()
        review = status.steps[1]
        assert review.items is not None
        done, tried = review.items
        assert (done.key, done.state, done.attempts, done.latency_ms) == (
            "0", StepState.COMPLETED, 1, 1.5,
        )  # fmt: skip
        assert (tried.key, tried.state, tried.attempts) == ("1", StepState.PENDING, 1)
        assert tried.error is not None
        assert tried.error.message == "no"
        assert tried.next_try_at is not None
        assert review.state == StepState.RUNNING
        assert status.progress == pytest.approx(1.5 / 4)

    async def test_a_running_step_shows_what_it_said(self, app: Headrace, rows: Rows) -> None:
        handle, hand = await in_hand(app, rows)
        claim = hand.claim
        await rows.value(
            "ledger.note_progress",
            [claim["id"]], [claim["token"]], ["note"], [""], WORKER, [2.0], [3], [7], ["reading"],
        )  # fmt: skip
        note = (await handle.status()).steps[2]
        assert note.state == StepState.RUNNING
        assert note.progress is not None
        assert (note.progress.done, note.progress.total, note.progress.note) == (3, 7, "reading")

    async def test_a_failed_job_shows_the_step_that_failed_it(
        self, app: Headrace, rows: Rows
    ) -> None:
        handle, hand = await in_hand(app, rows)
        error = {"code": "ValueError", "class": "permanent", "message": "bad", "step": "note"}
        await hand.write(
            end=End(
                "failed", "failed", cause="permanent_error", error=json.dumps(error), step="note"
            )
        )
        status = await handle.status()
        assert (status.state, status.cause) == (JobState.FAILED, "permanent_error")
        assert status.error is not None
        assert status.error.message == "bad"
        assert [one.state for one in status.steps] == ["pending", "pending", "failed", "pending"]

    async def test_the_open_steps_of_a_cancelled_job_are_skipped(
        self, app: Headrace, rows: Rows
    ) -> None:
        handle, hand = await in_hand(app, rows)
        await hand.write(step("note", '"x"'))
        await handle.cancel("no need", actor="ann")
        await hand.write(end=End("completed", "completed"))
        status = await handle.status()
        assert (status.state, status.cancelled_by, status.cancel_reason) == (
            JobState.CANCELLED, "ann", "no need",
        )  # fmt: skip
        assert [one.state for one in status.steps] == ["skipped", "skipped", "completed", "skipped"]

    async def test_an_output_under_an_earlier_name_is_the_steps(
        self, app: Headrace, rows: Rows
    ) -> None:
        handle, hand = await in_hand(app, rows)
        await hand.write(
            StepRow("verdict", "", 3, 1, 1, '{"ok": true}'),
            end=End("completed", "completed", "conclude"),
        )
        status = await handle.status()
        assert [(one.name, one.state) for one in status.steps][-1] == ("conclude", "completed")
        assert await handle.result() == Decision(ok=True)

    async def test_a_pipeline_of_other_code_shows_its_registered_steps(
        self, app: Headrace, database: str
    ) -> None:
        handle = await app.submit(decide, IDEA)
        async with Headrace([], database=database) as other:
            status = await other.job(handle.id).status()
        assert [one.name for one in status.steps] == ["expand", "review", "note", "conclude"]

    async def test_a_job_that_is_not_there_is_not_found(self, app: Headrace) -> None:
        for job in ("0199b4e0-0000-7000-8000-000000000000", "7", ""):
            with pytest.raises(JobNotFoundError):
                await app.status(job)


class TestResult:
    async def test_it_has_the_type_of_the_output(self, app: Headrace, rows: Rows) -> None:
        handle, hand = await in_hand(app, rows)
        waiting = asyncio.create_task(handle.result(timeout=20))
        await hand.complete()
        assert await waiting == Decision(ok=True)

    async def test_a_failed_job_raises_why(self, app: Headrace, rows: Rows) -> None:
        handle, hand = await in_hand(app, rows)
        error = json.dumps({"code": "X", "message": "the mill is dry"})
        await hand.write(end=End("failed", "failed", cause="permanent_error", error=error))
        with pytest.raises(JobFailedError, match=r"permanent_error\): the mill is dry"):
            await handle.result()

    async def test_a_cancelled_job_raises(self, app: Headrace) -> None:
        handle = await app.submit(decide, IDEA)
        await handle.cancel()
        with pytest.raises(JobCancelledError):
            await handle.result()

    async def test_the_time_limit_leaves_the_job_alone(self, app: Headrace) -> None:
        handle = await app.submit(decide, IDEA)
        with pytest.raises(TimeoutError):
            await handle.result(timeout=timedelta(seconds=0.1))
        assert (await handle.status()).state == JobState.QUEUED

    async def test_an_outage_is_waited_out(self, database: str, rows: Rows) -> None:
        async with proxy_to(database) as proxy, Headrace([decide], database=proxy.address) as app:
            handle, hand = await in_hand(app, rows)
            waiting = asyncio.create_task(handle.result(timeout=20))
            proxy.refuse()
            proxy.cut()
            await hand.complete()
            assert not waiting.done()
            proxy.accept()
            assert await waiting == Decision(ok=True)

    async def test_an_artifact_is_read_and_verified(
        self, app: Headrace, rows: Rows, tmp_path: Path
    ) -> None:
        app.artifacts = FolderArtifacts(tmp_path, app._connections)
        handle, hand = await in_hand(app, rows)
        key = ArtifactKey(UUID(handle.id), 1, "conclude", "", 1)
        reference = await app.artifacts.write(key, '{"ok": true}')
        await hand.write(
            step("conclude", None, artifact=reference),
            end=End("completed", "completed", "conclude"),
        )
        assert await handle.result() == Decision(ok=True)
        (tmp_path / json.loads(reference)["path"]).write_text('{"ok": null}')
        with pytest.raises(CheckpointCorruptError):
            await handle.result()


class TestCancel:
    async def test_a_queued_job_ends_at_once(self, app: Headrace, rows: Rows) -> None:
        handle = await app.submit(decide, IDEA)
        assert await handle.cancel("too late", actor="ann") == JobState.CANCELLED
        assert await handle.cancel() == JobState.CANCELLED
        assert not await rows.claim(await rows.worker())
        assert await rows.count("queued") == 0
        *_, last = await app.history(handle.id)
        assert (last.reason, last.actor, last.metadata) == (
            "cancelled", "ann", {"reason": "too late"},
        )  # fmt: skip

    async def test_one_that_is_due_later_ends_at_once_too(self, app: Headrace, rows: Rows) -> None:
        handle = await app.submit(decide, IDEA, due=timedelta(days=1))
        assert await handle.cancel() == JobState.CANCELLED
        assert await rows.count("queued") == 0

    async def test_the_worker_of_a_running_job_is_told(
        self, app: Headrace, rows: Rows, database: str
    ) -> None:
        heard: asyncio.Queue[str] = asyncio.Queue()
        listener = await asyncpg.connect(database)
        await listener.add_listener("headrace_cancel", lambda *found: heard.put_nowait(found[3]))
        handle, hand = await in_hand(app, rows)
        assert await handle.cancel() == JobState.RUNNING
        worker = (await rows.job(UUID(handle.id)))["worker"]
        assert await asyncio.wait_for(heard.get(), 5) == f"{worker} {handle.id}"
        await hand.write(end=End("completed", "completed"))
        assert (await handle.status()).state == JobState.CANCELLED
        await listener.close()

    async def test_an_ended_job_cannot_be_cancelled(self, app: Headrace, rows: Rows) -> None:
        handle, hand = await in_hand(app, rows)
        await hand.complete()
        with pytest.raises(TransitionError, match="completed cannot be cancelled"):
            await handle.cancel()
        with pytest.raises(JobNotFoundError):
            await app.cancel("0199b4e0-0000-7000-8000-000000000000")

    async def test_it_ends_once_however_it_races_with_claims(
        self, app: Headrace, rows: Rows
    ) -> None:
        handles = await app.submit_many(decide, [IDEA] * 60)
        worker = await rows.worker()

        async def claim_all() -> set[str]:
            claimed: set[str] = set()
            for _ in range(20):
                claimed |= {str(row["id"]) for row in await rows.claim(worker, 5)}
            return claimed

        claiming = asyncio.create_task(claim_all())
        states = await asyncio.gather(*(handle.cancel() for handle in handles))
        claimed = await claiming
        for handle, state in zip(handles, states, strict=True):
            expected = JobState.RUNNING if handle.id in claimed else JobState.CANCELLED
            assert state == expected
        assert await rows.count("queued") == 0


class TestEvents:
    async def test_they_come_as_they_happen_and_end_with_the_job(
        self, app: Headrace, rows: Rows
    ) -> None:
        handle = await app.submit(decide, IDEA)
        seen: list[str] = []

        async def watch() -> None:
            async for entry in handle.events():
                seen.append(entry.reason)  # noqa: PERF401 - they come one by one

        watching = asyncio.create_task(watch())
        await eventually(lambda: seen == ["submitted"])
        [claim] = await rows.claim(await rows.worker())
        await eventually(lambda: seen == ["submitted", "claimed"])
        await Hand(rows, claim).complete()
        await asyncio.wait_for(watching, 10)
        assert seen == ["submitted", "claimed", "completed"]
        assert [entry.seq async for entry in handle.events(after=2)] == [3]

    async def test_a_job_that_is_not_there_has_none(self, app: Headrace) -> None:
        with pytest.raises(JobNotFoundError):
            [entry async for entry in app.follow("0199b4e0-0000-7000-8000-000000000000")]


class TestWithAWorker:
    async def test_a_submitted_job_is_run(self, app: Headrace) -> None:
        worker = app.worker(concurrency=4)
        running = asyncio.create_task(worker.run())
        handles = await app.submit_many(decide, [Idea("x", size) for size in range(5)])
        results = await asyncio.gather(*(handle.result(timeout=30) for handle in handles))
        assert results == [Decision(ok=size > 0) for size in range(5)]
        assert (await handles[4].status()).progress == 1.0
        worker.stop()
        assert await running == 0
