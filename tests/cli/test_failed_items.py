"""What the command line says of items that failed, where their job could do without them."""

import json

from headrace import Each, ItemResult, PermanentError, Pipeline
from headrace import Headrace as App
from tests.cli.conftest import Headrace

lossy = Pipeline("lossy", input=int, output=list[ItemResult[int]])


@lossy.step
async def work(number: int, item: int = Each((1, 2, 3), key="n{}".format, at_least=1)) -> int:
    if item > 1:
        raise PermanentError(f"no {item}")
    return number


class TestJobsShow:
    async def test_they_stand_below_their_step_with_their_errors(
        self, headrace: Headrace, database: str
    ):
        async with App([lossy], database=database) as app:
            job = await app.submit(lossy, 7)
            await app.worker().run(until_empty=True)
        shown = await headrace("jobs", "show", job.id)
        assert "work\tcompleted 1 of 3 items (2 failed) in" in shown.out
        assert "work/n2\tfailed (try 1: no 2)\n" in shown.out
        assert "work/n3\tfailed (try 1: no 3)\n" in shown.out
        assert "work/n1" not in shown.out
        [step] = json.loads((await headrace("jobs", "show", job.id, "--json")).out)["job"]["steps"]
        assert [item["state"] for item in step["items"]] == ["completed", "failed", "failed"]
