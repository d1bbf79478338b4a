"""Jobs whose steps run in processes, from their submission to their end."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from headrace import Headrace, JobState
from headrace.errors import JobCancelledError, JobFailedError
from headrace.model.link import read_token
from headrace.settings import Settings
from headrace.worker.processes import StepProcesses
from headrace.worker.timing import Timing
from headrace.worker.worker import Worker
from tests.worker.process_bench import file_at, is_gone
from tests.worker.process_jobs import answering, asking, bad, children, patient, slow, squares

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits are Linux's")

TIMING = Timing().scaled(1 / 10)


@pytest.fixture
async def app(database: str) -> AsyncIterator[Headrace]:
    carried = [squares, children, answering, bad, slow, patient]
    async with Headrace(carried, database=database) as opened:
        yield opened


def worker_of(app: Headrace) -> Worker:
    worker = app.worker(timing=TIMING)
    parts = worker._parts
    parts.processes = StepProcesses(None, parts.pipelines, timing=TIMING, most=4)
    return worker


class TestJobs:
    async def test_items_records_and_a_child_job_go_through_processes(self, app: Headrace):
        first = await app.submit(squares, 2)
        handle = await app.submit(children, "parent")
        assert await worker_of(app).run(until_empty=True) == 0
        assert await first.result(timeout=10) == 1
        child = await handle.result(timeout=10)
        assert await app.job(child).result(timeout=10) == 0 + 1 + 4 + 9

    async def test_a_step_sends_signals_to_its_job(self, app: Headrace):
        handle = await app.submit(answering, [7, 8, 7])
        assert await worker_of(app).run(until_empty=True) == 0
        assert await handle.result(timeout=10) == [7, True, False, True]

    async def test_a_step_makes_links_to_signals_of_its_job(self, database: str):
        key = "of-these-tests-alone-0123456789abcdef"
        settings = Settings(env="testing", database_url=SecretStr(database), signing_keys=(key,))
        async with Headrace([asking], settings=settings) as app:
            handle = await app.submit(asking, "Open the sluice?")
            assert await handle.send("approval", value=True)
            assert await worker_of(app).run(until_empty=True) == 0
            link = read_token([key.encode()], (await handle.result(timeout=10)).rpartition("/")[2])
            assert link is not None
            assert (str(link.job), link.title) == (handle.id, "Open the sluice?")

    @pytest.mark.parametrize(
        ("how", "code"),
        [
            ("exit", "exit code 9"),
            ("hog", "64 MiB"),
            ("sleep", "longer than its 0.2 s"),
            ("lock", "take it in an async step"),
        ],
    )
    async def test_a_bad_step_fails_its_job_and_no_other(self, app: Headrace, how: str, code: str):
        pipe = slow if how == "sleep" else bad
        jobs = [await app.submit(pipe, how), await app.submit(bad, "fine")]
        assert await worker_of(app).run(until_empty=True) == 0
        with pytest.raises(JobFailedError, match=code):
            await jobs[0].result(timeout=10)
        assert await jobs[1].result(timeout=10) == "fine"

    async def test_a_cancel_reaches_the_process(self, app: Headrace, tmp_path: Path):
        handle = await app.submit(patient, str(tmp_path))
        worker = worker_of(app)
        working = asyncio.create_task(worker.run())
        pid = int(await file_at(tmp_path / "pid"))
        await handle.cancel()
        with pytest.raises(JobCancelledError):
            await handle.result(timeout=5)
        assert is_gone(pid, 0)
        worker.stop()
        assert await working == 0

    async def test_a_worker_that_stops_hands_the_job_back(self, app: Headrace, tmp_path: Path):
        handle = await app.submit(patient, str(tmp_path))
        worker = worker_of(app)
        working = asyncio.create_task(worker.run())
        pid = int(await file_at(tmp_path / "pid"))
        worker.stop()
        worker.stop()
        assert await working == 0
        assert is_gone(pid, 0)
        assert (await handle.status()).state == JobState.QUEUED
