"""Links that were used up in a run that was undone."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest_asyncio

from headrace import JobHandle, PermanentError, Pipeline, Signal, StepContext
from headrace.testing import Engine
from tests.waiting import eventually
from tests.waits.looking import until_waiting
from tests.web.asking_people import SIGNING, output_of, path_of
from tests.web.serving import Api, serve

LONG = timedelta(days=3)
sale = Pipeline("sale", input=int, output=int)


async def refund(charge: str) -> None:
    assert charge


@sale.step(undo=refund)
async def charge(cents: int, ctx: StepContext) -> str:
    assert cents
    return ctx.signal_url("sure")


@sale.step
async def confirm(charge: str, sure: bool = Signal(timeout=LONG)) -> bool:  # noqa: FBT001
    return bool(charge) and sure


@sale.step
async def hand_over(confirm: bool, cents: int) -> int:  # noqa: FBT001
    assert confirm
    if cents < 0:
        raise PermanentError("there is nothing to hand over")
    return cents


@pytest_asyncio.fixture
async def api(database_server: str) -> AsyncIterator[Api]:
    engine = Engine([sale], server=database_server, settings=SIGNING)
    async with engine, serve(engine) as served, engine.worker():
        yield served


async def link_of(api: Api, job: JobHandle[int]) -> str:
    """The path of the link that the last run of a job has made."""
    await until_waiting(job, "external")
    return path_of(await output_of(api.engine, job.id, "charge"))


class TestALinkThatWasAnswered:
    async def test_it_is_not_taken_again_by_a_run_that_asks_anew(self, api: Api) -> None:
        person = await api.stranger()
        job = await api.engine.submit(sale, -1)
        used = await link_of(api, job)
        assert (await person.post(used, json=True)).status_code == 200

        async def is_undone() -> bool:
            undo = (await job.status()).undo
            return undo is not None and undo.state == "completed"

        await eventually(is_undone)
        await api.engine.app.retry(job.id)
        fresh = await link_of(api, job)
        assert fresh != used
        assert (await person.get(used)).status_code == 410
        assert (await person.post(used, json=True)).status_code == 410
        assert (await person.post(fresh, json=True)).status_code == 200
