"""Undo jobs beside others: children, jobs of the same key, and many at once."""

from headrace import JobHandle, Pipeline, StepContext
from tests.undo.conftest import MakeEngine
from tests.undo.shop import ONCE, open_shop, undo_of, undone, waits_for
from tests.waiting import eventually


class TestChildren:
    async def test_a_step_that_ended_with_a_child_is_undone_with_its_result(
        self, make_engine: MakeEngine
    ):
        did: list[str] = []
        child = Pipeline("child", input=int, output=str)
        parent = Pipeline("parent", input=int, output=str)

        @child.step
        async def send(number: int) -> str:
            return f"parcel {number}"

        async def call_back(ship: str) -> None:
            did.append(f"back {ship}")

        @parent.step(undo=call_back)
        async def ship(number: int, ctx: StepContext) -> JobHandle[str]:
            return await ctx.submit(child, number)

        @parent.step(retry=ONCE)
        async def end(ship: str) -> str:
            raise RuntimeError(ship)

        async with make_engine([child, parent]) as engine:
            job = await engine.submit(parent, 4)
            await undone(engine, job)
        assert did == ["back parcel 4"]

    async def test_a_child_that_is_cancelled_with_its_parent_is_undone(
        self, make_engine: MakeEngine
    ):
        shop = open_shop()
        shop.ending = "waits"
        parent = Pipeline("parent", input=int, output=str)

        @parent.step
        async def order(number: int, ctx: StepContext) -> JobHandle[str]:
            return await ctx.submit(shop.pipeline, number)

        async with make_engine([shop.pipeline, parent]) as engine:
            job = await engine.submit(parent, 1)
            async with engine.worker():
                await eventually(lambda: "ship" in shop.did)
                await eventually(lambda: waits_for(engine, job.id, "child"))
                await job.cancel()
                await eventually(lambda: "release r1" in shop.did)
                await engine.run_until_empty()
            assert (await job.status()).undo is None
            states = {row.state for row in await engine.jobs()}
        assert states == {"cancelled", "completed"}


class TestBesideOthers:
    async def test_an_undo_job_does_not_wait_for_the_ordering_key_of_its_job(
        self, make_engine: MakeEngine
    ):
        shop = open_shop(concurrency=1)
        async with make_engine([shop.pipeline]) as engine:
            jobs = [
                await engine.submit(shop.pipeline, number, ordering_key="ann", priority=9)
                for number in (1, 2)
            ]
            await engine.run_until_empty()
            for job in jobs:
                undo = await undo_of(job)
                status = await engine.app.status(undo.job_id)
                assert (status.state, status.ordering_key, status.priority) == (
                    "completed", None, 9,
                )  # fmt: skip
        assert [line for line in shop.did if "release" in line] == ["release r1", "release r2"]

    async def test_many_are_undone_at_once(self, make_engine: MakeEngine):
        shop = open_shop()
        async with make_engine([shop.pipeline]) as engine:
            jobs = [await engine.submit(shop.pipeline, number) for number in range(20)]
            await engine.run_until_empty(20)
            states = {(await undo_of(job)).state for job in jobs}
        assert states == {"completed"}
        released = [line for line in shop.did if line.startswith("release")]
        assert sorted(released) == sorted(f"release r{number}" for number in range(20))

    async def test_a_worker_with_one_slot_ends_all(self, make_engine: MakeEngine):
        shop = open_shop()
        async with make_engine([shop.pipeline]) as engine:
            job = await engine.submit(shop.pipeline, 1)
            await engine.run_until_empty(concurrency=1)
            assert (await undo_of(job)).state == "completed"
