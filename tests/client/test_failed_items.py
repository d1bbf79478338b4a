"""What is shown of items that failed for good, while their job goes on."""

from __future__ import annotations

import asyncio
import io

import pytest

from headrace import Each, Headrace, ItemError, ItemResult, PermanentError, Pipeline, Retry
from headrace.cli.live import LineView, describe_step, shown_items
from headrace.client.status import JobStatus
from headrace.testing import Engine
from tests.waiting import eventually

lossy = Pipeline("lossy", input=int, output=list[ItemResult[int]])
rest = asyncio.Event()


@lossy.step(retry=Retry(attempts=1))
async def work(number: int, item: int = Each((1, 2, 3, 4), key="n{}".format, at_least=2)) -> int:
    if item == 2:
        raise PermanentError(f"no {item} of {number}")
    if item == 3:
        await rest.wait()
    if item == 4:
        raise RuntimeError("four")
    return item


@pytest.fixture
def engine(database_server: str) -> Engine:
    rest.clear()
    return Engine([lossy], server=database_server)


def lines_of(status: JobStatus) -> list[str]:
    stream = io.StringIO()
    LineView(stream).show(status)
    return stream.getvalue().splitlines()


class TestWhileOthersRun:
    async def test_a_failed_item_is_done_and_its_step_is_not(self, engine: Engine):
        async with engine, engine.worker():
            job = await engine.submit(lossy, 7)

            async def has_failed() -> bool:
                return (await job.status()).progress == pytest.approx(3 / 4)

            await eventually(has_failed)
            [step] = (await job.status()).steps
            assert (step.state, step.finished_at) == ("running", None)
            assert step.error is not None
            assert step.error.message == "no 2 of 7"
            rest.set()
            await engine.run_until_empty()


class TestOfACompletedStep:
    async def test_the_step_is_completed_and_the_items_tell_why_they_failed(self, engine: Engine):
        rest.set()
        async with engine:
            job = await engine.submit(lossy, 7)
            await engine.run_until_empty()
            status = await job.status()
        [step] = status.steps
        assert (status.state, status.progress, status.error) == ("completed", 1.0, None)
        assert (step.state, step.error) == ("completed", None)
        assert step.finished_at is not None
        assert step.items is not None
        assert [item.state for item in step.items] == ["completed", "failed", "completed", "failed"]
        failed = step.items[1]
        assert failed.error is not None
        assert (failed.error.code, failed.error.kind) == ("PERMANENT_ERROR", "permanent")
        assert (failed.error.message, failed.error.item) == ("no 2 of 7", "n2")
        assert (failed.attempts, failed.next_try_at) == (1, None)

    async def test_the_command_line_counts_and_shows_them(self, engine: Engine):
        rest.set()
        async with engine:
            job = await engine.submit(lossy, 7)
            await engine.run_until_empty()
            status = await job.status()
        assert describe_step(status.steps[0]).startswith("completed 2 of 4 items (2 failed) in ")
        assert "    n2 failed (try 1: no 2 of 7)" in lines_of(status)
        assert "    n4 failed (try 1: four)" in lines_of(status)

    async def test_of_nameless_items_only_those_that_failed_are_shown(self, database_server: str):
        nameless = Pipeline("nameless", input=int, output=list[ItemResult[int]])

        @nameless.step
        async def spread(count: int) -> list[int]:
            return list(range(count))

        @nameless.step
        async def work(number: int = Each(spread, at_least=1)) -> int:
            if number > 0:
                raise PermanentError(f"no {number}")
            return number

        async with Engine([nameless], server=database_server) as engine:
            job = await engine.submit(nameless, 13)
            await engine.run_until_empty()
            status = await job.status()
        assert [item.key for item in shown_items(status.steps[1])] == list(map(str, range(1, 11)))

    async def test_a_job_that_fails_with_them_shows_its_step_as_failed(self, database_server: str):
        few = Pipeline("few", input=int, output=list[ItemResult[int]])

        @few.step
        async def work(number: int, item: int = Each((1, 2), key=str, at_least=2)) -> int:
            if item == 1:
                raise PermanentError(f"no {number}")
            return item

        async with Engine([few], server=database_server) as other:
            job = await other.submit(few, 7)
            await other.run_until_empty()
            status = await job.status()
        assert (status.state, status.steps[0].state) == ("failed", "failed")
        assert status.steps[0].error is not None
        assert status.error is not None
        assert (status.error.step, status.error.item) == ("work", "1")


class TestAResultOfItems:
    async def test_it_is_the_list_with_and_without_the_code(self, engine: Engine):
        rest.set()
        async with engine:
            job = await engine.submit(lossy, 7)
            await engine.run_until_empty()
            known = await job.result()
            async with Headrace([], database=engine.database) as other:
                unknown = await other.job(job.id).result()
        assert known == [
            ItemResult("n1", 1),
            ItemResult("n2", error=ItemError("PERMANENT_ERROR", "permanent", "no 2 of 7")),
            ItemResult("n3", 3),
            ItemResult("n4", error=ItemError("RuntimeError", "unknown", "four")),
        ]
        assert unknown[0] == {"key": "n1", "output": 1, "error": None}
        assert unknown[1] == {
            "key": "n2",
            "output": None,
            "error": {"code": "PERMANENT_ERROR", "kind": "permanent", "message": "no 2 of 7"},
        }
