"""What a job's status tells of its waits, of what was sent to it, and of its children."""

from datetime import datetime, timedelta
from typing import Any

from headrace import JobHandle, Pipeline, Signal
from headrace.cli.live import describe_signal
from headrace.client.status import JobStatus
from tests.engine.conftest import MakeEngine
from tests.waiting import eventually
from tests.waits.pipes import PIPELINES, Approval, order, parcels


async def waiting_for(job: JobHandle[Any], reason: str) -> JobStatus:
    """The status of a job once it waits for a reason."""
    found: list[JobStatus] = []

    async def waits() -> bool:
        found[:] = [await job.status()]
        return found[0].wait_reason == reason

    await eventually(waits, within=30)
    return found[0]


def near(one: datetime | None, other: datetime | None) -> bool:
    """Whether two moments are the same but for what work takes."""
    return one is not None and other is not None and abs(one - other) < timedelta(minutes=5)


def state_of(status: JobStatus, step: str) -> str:
    return next(str(one.state) for one in status.steps if one.name == step)


class TestWhatStepsWaitFor:
    async def test_a_signal_is_told_with_its_time(self, make_engine: MakeEngine):
        async with make_engine(PIPELINES) as engine, engine.worker():
            status = await waiting_for(await engine.submit(order, "lamp"), "external")
            [wait] = status.waits
            assert (wait.step, wait.item, wait.kind, wait.name) == (
                *("approve", None, "signal", "approval"),
            )
            assert wait.until is not None
            assert near(wait.until, wait.since + timedelta(days=3))
            assert near(status.due_at, wait.until)
            assert state_of(status, "approve") == "pending"
            assert (status.waits_total, status.signals, status.children) == (1, (), ())

    async def test_a_child_is_told_with_its_state_and_then_a_delay(self, make_engine: MakeEngine):
        async with make_engine(PIPELINES) as engine, engine.worker():
            job = await engine.submit(order, "lamp")
            await job.send("approval", Approval(ok=True), actor="ann")
            status = await waiting_for(job, "child")
            [wait], [child], [signal] = status.waits, status.children, status.signals
            assert (wait.step, wait.kind, wait.name) == ("ship", "child", child.id)
            assert (child.pipeline, wait.pipeline, wait.until) == ("shipping", "shipping", None)
            assert (signal.name, signal.state, signal.by) == ("approval", "received", "ann")
            await waiting_for(engine.app.job(child.id), "external")
            [wait] = (await job.status()).waits
            assert wait.state == "queued"
            await engine.app.send(child.id, "shelf", 7)
            status = await waiting_for(job, "delay")
            [wait], [child] = status.waits, status.children
            assert (wait.step, wait.kind, wait.name) == ("ask_how_it_was", "delay", "")
            assert near(status.due_at, wait.until)
            assert child.state == "completed"

    async def test_of_many_children_the_first_are_told_and_how_many(self, make_engine: MakeEngine):
        async with make_engine(PIPELINES) as engine, engine.worker():
            job = await engine.submit(parcels, 103)
            status = await waiting_for(job, "child")
            assert (len(status.waits), status.waits_total) == (100, 103)
            assert (len(status.children), status.children_total) == (100, 103)
            assert {wait.kind for wait in status.waits} == {"child"}
            assert all(wait.item for wait in status.waits)

    async def test_a_step_is_told_under_the_name_that_it_has_now(self, make_engine: MakeEngine):
        renamed = Pipeline("order", version="2.0.0", input=str, output=str)

        @renamed.step(was="approve")
        async def decide(item: str, approval: Approval = Signal()) -> str: ...

        async with make_engine(PIPELINES) as engine:
            async with engine.worker():
                job = await engine.submit(order, "lamp")
                await waiting_for(job, "external")
            async with engine.app_with([renamed]) as app:
                assert [wait.step for wait in (await app.status(job.id)).waits] == ["decide"]

    async def test_nothing_waits_once_the_job_has_ended(self, make_engine: MakeEngine):
        async with make_engine(PIPELINES) as engine, engine.worker():
            job = await engine.submit(order, "lamp")
            await waiting_for(job, "external")
            await job.cancel()
            status = await job.status()
            assert (status.state, status.waits, status.waits_total) == ("cancelled", (), 0)


class TestWhatDidNotComeInTime:
    async def test_it_is_told_as_expired(self, make_engine: MakeEngine):
        async with make_engine(PIPELINES) as engine, engine.worker():
            job = await engine.submit(order, "lamp")
            await waiting_for(job, "external")
            await engine.move_clock(timedelta(days=4))

            async def ended() -> bool:
                return (await job.status()).is_final

            await eventually(ended, within=30)
            [signal] = (await job.status()).signals
            assert (signal.name, signal.state, signal.by) == ("approval", "expired", None)
            assert describe_signal(signal).startswith("signal approval had not come by 20")
