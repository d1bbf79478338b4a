"""Items that failed for good, as their job's owner sees them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from headrace import Each, ItemResult, Pipeline, Retry, StepContext, UserError
from headrace.testing import Engine
from headrace.web.views.errors import HIDDEN
from tests.web.asking import get
from tests.web.followed import QUICK, told
from tests.web.serving import SETTINGS, Api, serve
from tests.web.sse import follow

pytestmark = pytest.mark.asyncio(loop_scope="module")

lossy = Pipeline("lossy", input=int, output=list[ItemResult[int]])
again = Pipeline("again", input=int, output=int)


@lossy.step(parallel=1, retry=Retry(attempts=1))
async def work(number: int, item: int = Each((1, 2, 3), key="n{}".format, at_least=1)) -> int:
    if item == 2:
        raise UserError("no two")
    if item == 3:
        raise ConnectionError("postgresql://admin:hunter2@db.internal is not there")
    return number


@again.step(parallel=1, retry=Retry(attempts=1))
async def some(number: int, item: int = Each((1, 2), key="n{}".format, at_least=1)) -> int:
    if item == 2:
        raise UserError("no two")
    return number


@again.step(retry=Retry(attempts=1))
async def count(some: list[ItemResult[int]]) -> int:
    return len(some)


@again.step(retry=Retry(attempts=1))
async def end(count: int, ctx: StepContext) -> int:
    if ctx.run == 1:
        raise UserError("not yet")
    return count


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(database_server: str) -> AsyncIterator[Api]:
    engine = Engine([lossy, again], server=database_server, settings=SETTINGS)
    async with engine, serve(engine, pace=QUICK) as api, engine.worker():
        yield api


class TestAJobsPage:
    async def test_the_step_is_completed_and_the_items_failed(self, api: Api):
        job, _ = await told(api, lossy, 7)
        page = (await get(api, f"/v1/jobs/{job}")).json()
        assert (page["state"], page["progress"]) == ("completed", 100.0)
        [step] = page["steps"]
        assert (step["state"], step["error"]) == ("completed", None)
        assert [item["state"] for item in step["items"]] == ["completed", "failed", "failed"]
        errors = [item["error"] for item in step["items"]]
        assert errors[0] is None
        assert (errors[1]["code"], errors[1]["message"]) == ("USER_ERROR", "no two")
        assert (errors[2]["code"], errors[2]["message"]) == ("ConnectionError", HIDDEN)

    async def test_a_result_of_items_tells_what_is_safe_to_show(self, api: Api):
        job, events = await told(api, lossy, 7)
        result = (await get(api, f"/v1/jobs/{job}/result")).json()["result"]
        hidden = {"code": "ConnectionError", "kind": "transient", "message": HIDDEN}
        assert result == [
            {"key": "n1", "output": 7, "error": None},
            {
                "key": "n2",
                "output": None,
                "error": {"code": "USER_ERROR", "kind": "user", "message": "no two"},
            },
            {"key": "n3", "output": None, "error": hidden},
        ]
        assert events[-1].data["result"] == result


class TestEvents:
    async def test_each_failure_is_told_once_by_its_last_try(self, api: Api):
        _, events = await told(api, lossy, 7)
        steps = [event.word for event in events if event.name == "step"]
        assert steps == ["work running", "work n1 completed", "work n2 failed", "work n3 failed"]
        failed = [event.data for event in events if event.word == "work n2 failed"]
        assert failed[0]["error"]["message"] == "no two"
        assert failed[0]["next_try_at"] is None
        assert all("hunter2" not in str(event.data) for event in events)

    async def test_one_that_a_new_run_takes_over_is_told_with_its_error(self, api: Api):
        job, first = await told(api, again, 7)
        await api.engine.app.retry(job)
        events = await follow(await api.client(), job, last=first[-1].id)
        taken = [event.data for event in events if event.word == "some n2 failed"]
        assert [(one["reused_from"], one["error"]["message"]) for one in taken] == [(1, "no two")]
        assert events[-1].word == "completed!"
