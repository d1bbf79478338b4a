"""What is undone where the code has changed since, or what was done is not stored any more."""

import re
from datetime import timedelta

import pytest

from headrace import Pipeline, RetryAfter
from headrace.errors import JobFailedError
from tests.undo.conftest import MakeEngine
from tests.undo.shop import UNDONE, open_shop, undo_of, undone, waits_for
from tests.waiting import eventually


class TestCode:
    async def test_a_step_that_was_renamed_is_undone_under_its_new_name(
        self, make_engine: MakeEngine
    ):
        old, new = (Pipeline("pipe", input=int, output=int) for _ in range(2))
        did: list[str] = []

        async def undo_old(pay: int) -> None:  # noqa: ARG001
            did.append("old")

        async def undo_new(charge: int) -> None:
            did.append(f"new {charge}")

        @old.step(undo=undo_old)
        async def pay(number: int) -> int:
            return number

        @new.step(undo=undo_new, was="pay")
        async def charge(number: int) -> int:  # noqa: ARG001
            raise AssertionError

        @old.step
        async def end(pay: int) -> int:  # noqa: ARG001
            raise RetryAfter(3600)

        @new.step(name="end")
        async def new_end(charge: int) -> int:  # noqa: ARG001
            raise AssertionError

        async with make_engine([old]) as engine:
            job = await engine.submit(old, 5)
            async with engine.worker():
                await eventually(lambda: waits_for(engine, job.id, "rate_limited"))
            await job.cancel()
            async with engine.app_with([new]) as app, engine.worker(app=app):
                await engine.run_until_empty()
            assert (await undo_of(job)).state == "completed"
        assert did == ["new 5"]

    async def test_an_undo_that_the_code_has_not_is_waited_for(self, make_engine: MakeEngine):
        shop, bare = open_shop(), Pipeline("shop", input=int, output=str)
        shop.ending = "waits"

        @bare.step(name="ship")
        async def bare_ship(order: int) -> str:  # noqa: ARG001
            return "bare"

        async with make_engine([shop.pipeline]) as engine:
            job = await engine.submit(shop.pipeline, 1)
            async with engine.worker():
                await eventually(lambda: waits_for(engine, job.id, "rate_limited"))
            # As a worker of the code before, which is still there when a job is cancelled.
            await job.cancel()
            async with engine.app_with([bare]) as app, engine.worker(app=app):
                undo = await undo_of(job)
                await eventually(lambda: waits_for(engine, undo.job_id, "unclaimable"))
            error = (await engine.app.status(undo.job_id)).error
            assert error is not None
            assert error.code == "UNDO_MISSING"
            assert shop.did[-1] == "ship"
            await engine.move_clock(timedelta(days=1))
            await engine.run_until_empty()
            assert (await undo_of(job)).state == "completed"
        assert sorted(shop.did[-4:]) == sorted(UNDONE)

    async def test_where_nothing_is_stored_any_more_it_fails_and_says_so(
        self, make_engine: MakeEngine
    ):
        shop = open_shop()
        async with make_engine([shop.pipeline]) as engine:
            shop.closed = {"refund"}
            job = await engine.submit(shop.pipeline, 1)
            undo = await undone(engine, job, "failed")
            async with engine.connection() as connection, connection.transaction():
                await connection.execute("select set_config('headrace.retention', 'on', true)")
                await connection.execute("delete from headrace.steps where job = $1", job.id)
            await engine.app.retry(undo.job_id)
            await engine.run_until_empty()
            with pytest.raises(JobFailedError, match=re.escape(f"run 1 of job {job.id} had done")):
                await engine.app.job(undo.job_id).result()
        assert shop.did.count("refund 0.5 1") == 2
