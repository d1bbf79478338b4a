"""A new run of a job that was undone, and what may not be asked of one that is being undone."""

from datetime import timedelta

import pytest

from headrace import JobHandle, Pipeline
from headrace.errors import (
    TransitionError,
    UndoFailedError,
    UndoJobError,
    UndoUnderWayError,
)
from headrace.store.forcing import fail_job
from headrace.store.retention import FIRST_ID
from headrace.store.sql import SQL
from headrace.testing import Engine
from tests.undo.conftest import MakeEngine
from tests.undo.shop import open_shop, undo_of, undone, waits_for
from tests.waiting import eventually


class TestRetry:
    async def test_what_was_undone_runs_again_and_all_that_depends_on_it(
        self, make_engine: MakeEngine
    ):
        shop = open_shop()
        async with make_engine([shop.pipeline]) as engine:
            job = await engine.submit(shop.pipeline, 1)
            undo = await undone(engine, job)
            shop.did.clear()
            shop.ending = "ends"
            assert await engine.app.retry(job.id, reason="a lorry came") == 2
            await engine.run_until_empty()
            assert await job.result() == "shipped"
            assert (await job.status()).undo is None
            (again,) = (one for one in await engine.app.history(job.id) if one.reason == "retried")
            assert again.metadata == {
                "reason": "a lorry came",
                "undo_job": undo.job_id,
                "undone": ["pay", "pack", "reserve"],
            }
        assert sorted(shop.did) == ["pack a", "pack b", "pay", "reserve", "ship"]  # not `look`

    async def test_it_is_remembered_longer_than_the_checkpoints_of_the_undo_job(
        self, make_engine: MakeEngine
    ):
        shop = open_shop()
        async with make_engine([shop.pipeline]) as engine:
            job = await engine.submit(shop.pipeline, 1)
            before = await undone(engine, job)
            await forget_checkpoints(engine)
            assert await undo_of(job) == before
            shop.did.clear()
            shop.ending = "ends"
            await engine.app.retry(job.id)
            await engine.run_until_empty()
        assert sorted(shop.did) == ["pack a", "pack b", "pay", "reserve", "ship"]

    async def test_what_an_operator_gave_is_not_undone(self, make_engine: MakeEngine):
        shop = open_shop()
        async with make_engine([shop.pipeline]) as engine:
            job = await engine.submit(shop.pipeline, 1)
            await undone(engine, job)
            shop.did.clear()
            await engine.app.retry(job.id, override_outputs={"pay": 7.0})
            undo = await undone(engine, job)
            assert "pay" not in [step.name for step in undo.steps]
        assert not [line for line in shop.did if "refund" in line]

    async def test_each_run_is_undone_for_itself(self, make_engine: MakeEngine):
        shop = open_shop()
        async with make_engine([shop.pipeline]) as engine:
            job = await engine.submit(shop.pipeline, 1)
            first = await undone(engine, job)
            await engine.app.retry(job.id)
            second = await undone(engine, job)
            assert first.job_id != second.job_id
        assert shop.did.count("refund 0.5 1") == 2

    async def test_one_that_is_being_undone_is_refused(self, make_engine: MakeEngine):
        shop = open_shop()
        async with make_engine([shop.pipeline]) as engine:
            job = await failed_with_its_undo_queued(engine, shop.pipeline)
            undo = await undo_of(job)
            for force in (False, True):
                with pytest.raises(UndoUnderWayError, match=undo.job_id):
                    await engine.app.retry(job.id, force=force)
            assert len(await engine.app.history(job.id)) == 2

    async def test_one_whose_undo_failed_names_the_job_to_retry_first(
        self, make_engine: MakeEngine
    ):
        shop = open_shop()
        shop.closed = {"refund"}
        async with make_engine([shop.pipeline]) as engine:
            job = await engine.submit(shop.pipeline, 1)
            undo = await undone(engine, job, "failed")
            with pytest.raises(UndoFailedError, match=undo.job_id):
                await engine.app.retry(job.id)
            shop.ending = "ends"
            await engine.app.retry(job.id, force=True)
            await engine.run_until_empty()
            assert await job.result() == "shipped"
            assert (await engine.app.history(job.id))[3].metadata == {
                "force": True, "undo_job": undo.job_id, "undone": [],
            }  # fmt: skip

    async def test_a_replay_that_fails_undoes_only_what_it_did_itself(
        self, make_engine: MakeEngine
    ):
        shop = open_shop()
        shop.ending = "ends"
        async with make_engine([shop.pipeline]) as engine:
            job = await engine.submit(shop.pipeline, 1)
            await engine.run_until_empty()
            shop.ending = "fails"
            await engine.app.replay(job.id, from_step="pay")
            undo = await undone(engine, job)
            assert [step.name for step in undo.steps] == ["pay"]

    async def test_of_a_fan_out_only_the_items_that_the_run_did_itself(
        self, make_engine: MakeEngine
    ):
        shop = open_shop()
        shop.ending = "waits"
        async with make_engine([shop.pipeline]) as engine:
            job = await engine.submit(shop.pipeline, 1)
            async with engine.worker():
                await eventually(lambda: waits_for(engine, job.id, "rate_limited"))
            async with engine.connection() as connection:
                await connection.execute("set session_replication_role = replica")
                await connection.execute(
                    "update headrace.steps set reused_from = 1 where step = 'pack' and item = 'a'"
                )
                await connection.execute("set session_replication_role = origin")
            await job.cancel()
            await undone(engine, job)
        assert [line for line in shop.did if "unpack" in line] == ["unpack br1 of b r1 1"]


class TestUndoJobs:
    async def test_they_are_not_cancelled(self, make_engine: MakeEngine):
        shop = open_shop()
        async with make_engine([shop.pipeline]) as engine:
            job = await failed_with_its_undo_queued(engine, shop.pipeline)
            undo = await undo_of(job)
            with pytest.raises(UndoJobError, match=f"undoes job {job.id}: it cannot be cancelled"):
                await engine.app.cancel(undo.job_id)
            assert (await undone(engine, job)).state == "completed"

    async def test_an_operator_ends_one_as_failed_and_it_goes_on_later(
        self, make_engine: MakeEngine
    ):
        shop = open_shop()
        async with make_engine([shop.pipeline]) as engine:
            job = await failed_with_its_undo_queued(engine, shop.pipeline)
            undo = await undo_of(job)
            async with engine.connection() as connection:
                await fail_job(connection, undo.job_id, by="operator", reason="bank is closed")
            assert (await undo_of(job)).state == "failed"
            assert shop.did == []
            await engine.app.retry(undo.job_id)
            await undone(engine, job)
        assert shop.did == ["release r1"]

    async def test_they_only_go_on(self, make_engine: MakeEngine):
        shop = open_shop()
        shop.closed = {"release"}
        async with make_engine([shop.pipeline]) as engine:
            job = await engine.submit(shop.pipeline, 1)
            undo = await undone(engine, job, "failed")
            with pytest.raises(UndoJobError):
                await engine.app.retry(undo.job_id, force=True)
            with pytest.raises(UndoJobError):
                await engine.app.retry(undo.job_id, from_step="pay.undo")
            shop.closed = set()
            await engine.app.retry(undo.job_id)
            await undone(engine, job)
            with pytest.raises(TransitionError):
                await engine.app.retry(undo.job_id)
            with pytest.raises(UndoJobError):
                await engine.app.replay(undo.job_id, force=True)
        assert shop.did.count("refund 0.5 1") == 1


async def failed_with_its_undo_queued(engine: Engine, pipe: Pipeline[int, str]) -> JobHandle[str]:
    """A job that an operator ended while `reserve` was all that it had done; nothing runs."""
    job = await engine.submit(pipe, 1)
    async with engine.connection() as connection:
        await connection.execute(
            "insert into headrace.steps (job, run, step, item, state, position, attempts, worker,"
            " token, latency_us, output)"
            " values ($1, 1, 'reserve', '', 'completed', 0, 1, 1, 1, 1, '\"r1\"')",
            job.id,
        )
        await fail_job(connection, job.id, by="operator", reason="test")
    return job


async def forget_checkpoints(engine: Engine) -> None:
    """What retention does to jobs that completed or were cancelled some time ago."""
    await engine.move_clock(timedelta(hours=1))
    async with engine.connection() as connection, connection.transaction():
        await connection.fetch(SQL["retention.allow_deletion"])
        page = await connection.fetchrow(
            SQL["retention.prune_checkpoints"], FIRST_ID, timedelta(minutes=1), 100
        )
    assert page is not None
    assert page["removed"] > 0
