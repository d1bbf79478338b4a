"""What becomes of children whose parent ends without them."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

from headrace import JobHandle, PermanentError, Pipeline, Signal, StepContext
from headrace.store.forcing import fail_job
from headrace.store.pool import Pool
from headrace.testing import Engine
from headrace.worker.orphans import Orphans
from headrace.worker.timing import Timing
from tests.engine.conftest import MakeEngine
from tests.waiting import eventually
from tests.waits.looking import bound_children, children_of, until_state, until_waiting

LONG = timedelta(days=3)

leaf = Pipeline("leaf", input=int, output=int)
branch = Pipeline("branch", input=int, output=int)
trunk = Pipeline("trunk", input=int, output=int)
loose = Pipeline("loose", input=int, output=int)
ALL = [leaf, branch, trunk, loose]


@leaf.step
async def grow(number: int, answer: int = Signal(timeout=LONG)) -> int:
    return number + answer


@branch.step
async def ask_leaf(number: int, ctx: StepContext) -> JobHandle[int]:
    return await ctx.submit(leaf, number)


@trunk.step
async def ask_branch(number: int, ctx: StepContext) -> JobHandle[int]:
    return await ctx.submit(branch, number)


@trunk.step
async def fail_when_told(number: int, blow: int = Signal(timeout=LONG)) -> int:
    raise PermanentError(f"storm {number} {blow}")


@loose.step
async def ask_nobody(number: int, ctx: StepContext) -> str:
    return (await ctx.submit(leaf, number)).id


@loose.step
async def wait(ask_nobody: str, answer: int = Signal(timeout=LONG)) -> int:
    return answer + len(ask_nobody)


def without_sweeps(engine: Engine) -> Timing:
    """Nobody looks for what was missed."""
    return replace(engine.timing, sweep=timedelta(hours=1))


async def grown(engine: Engine) -> tuple[JobHandle[int], JobHandle[int], JobHandle[int]]:
    """A trunk that waits for its branch, which waits for its leaf, which waits for a signal."""
    job = await engine.submit(trunk, 1)
    await until_waiting(job, "external")
    (middle,) = await children_of(engine, job)
    await until_waiting(engine.app.job(middle), "child")
    (last,) = await children_of(engine, engine.app.job(middle))
    await until_waiting(engine.app.job(last), "external")
    return job, engine.app.job(middle), engine.app.job(last)


class TestAParentThatIsCancelled:
    async def test_its_children_and_theirs_are_cancelled_with_it(
        self, make_engine: MakeEngine
    ) -> None:
        async with make_engine(ALL) as engine:
            async with engine.worker(timing=without_sweeps(engine)):
                job, middle, last = await grown(engine)
            # No worker is there: who cancels does it.
            await job.cancel()
            assert (await middle.status()).state == "cancelled"
            assert (await last.status()).state == "cancelled"
            assert await bound_children(engine) == []
            end = (await engine.events(last))[-1]
            assert end.actor == "system"
            assert middle.id in str(end.metadata)

    async def test_a_child_that_runs_is_stopped(self, make_engine: MakeEngine) -> None:
        running, stopped = asyncio.Event(), asyncio.Event()
        child = Pipeline("running", input=int, output=int)
        parent = Pipeline("parent", input=int, output=int)

        @child.step
        async def run_on(number: int) -> int:
            running.set()
            try:
                await asyncio.Event().wait()
            finally:
                stopped.set()
            return number

        @parent.step
        async def ask(number: int, ctx: StepContext) -> JobHandle[int]:
            return await ctx.submit(child, number)

        async with make_engine([child, parent]) as engine, engine.worker():
            job = await engine.submit(parent, 1)
            await until_waiting(job, "child")
            await running.wait()
            await job.cancel()
            await asyncio.wait_for(stopped.wait(), 20)
            (made,) = await children_of(engine, job)
            await until_state(engine.app.job(made), "cancelled")

    async def test_jobs_that_ordinary_steps_submitted_go_on(self, make_engine: MakeEngine) -> None:
        async with make_engine(ALL) as engine, engine.worker():
            job = await engine.submit(loose, 1)
            await until_waiting(job, "external")
            (made,) = await children_of(engine, job)
            await job.cancel()
            assert await engine.app.send(made, "answer", 1)
            assert await engine.app.job(made).result(timeout=20) == 2


class TestAParentThatFails:
    async def test_its_worker_cancels_the_children_of_a_failed_step(
        self, make_engine: MakeEngine
    ) -> None:
        async with (
            make_engine(ALL) as engine,
            engine.worker(timing=without_sweeps(engine)),
        ):
            job, middle, last = await grown(engine)
            assert await job.send("blow", 9)
            await until_state(job, "failed")
            await until_state(middle, "cancelled")
            await until_state(last, "cancelled")

    async def test_a_sweep_cancels_them_when_its_deadline_passed(
        self, make_engine: MakeEngine
    ) -> None:
        async with make_engine(ALL) as engine, engine.worker():
            job = await engine.submit(branch, 1, deadline=timedelta(hours=1))
            await until_waiting(job, "child")
            (made,) = await children_of(engine, job)
            await engine.move_clock(timedelta(hours=2))
            await until_state(job, "failed")
            await until_state(engine.app.job(made), "cancelled")

    async def test_a_sweep_cancels_them_when_an_operator_failed_it(
        self, make_engine: MakeEngine
    ) -> None:
        async with make_engine(ALL) as engine, engine.worker():
            job, middle, last = await grown(engine)
            async with engine.connection() as connection:
                await fail_job(connection, UUID(job.id), by="test", reason="enough")
            await until_state(middle, "cancelled")
            await until_state(last, "cancelled")


class TestAWorkerThatEnds:
    async def test_it_leaves_those_that_it_does_not_reach_to_a_sweep(self, database: str) -> None:
        async with Pool(database, largest=1) as pool, pool.acquire():  # others have all there is
            orphans = Orphans(pool, closing=timedelta(seconds=0.01))
            orphans.look_for(uuid4())
            await asyncio.wait_for(orphans.close(), 20)


class TestANewRunOfTheParent:
    async def test_it_does_not_meet_the_children_of_the_run_before(
        self, make_engine: MakeEngine
    ) -> None:
        async with make_engine(ALL) as engine:
            async with engine.worker():
                job = await engine.submit(branch, 1)
                await until_waiting(job, "child")
            (old,) = await children_of(engine, job)
            async with engine.connection() as connection:
                await fail_job(connection, UUID(job.id), by="test", reason="enough")
            await engine.app.retry(job.id)  # before anybody has looked for its children
            async with engine.worker():
                await until_state(engine.app.job(old), "cancelled")

                async def has_another() -> list[str]:
                    return [one for one in await bound_children(engine) if one != old]

                (new,) = await eventually(has_another)
                assert await engine.app.send(new, "answer", 4)
                assert await job.result(timeout=20) == 5
