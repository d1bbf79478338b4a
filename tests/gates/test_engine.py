"""Keys and limits, as they are used: pipelines, submissions, workers."""

from __future__ import annotations

import asyncio
import functools
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from headrace import Pipeline, Retry, StepContext
from headrace.errors import DefinitionError, OptionError, UnavailableError
from headrace.testing import Engine
from headrace.worker.timing import Timing
from tests.waiting import eventually

MakeEngine = Callable[..., Engine]


@pytest.fixture
def make_engine(database_server: str) -> MakeEngine:
    """Makes an engine on the server of this test run."""
    return functools.partial(Engine, server=database_server)


class Watch:
    """What ran, in which order, and how many at once."""

    def __init__(self) -> None:
        self.order: list[int] = []
        self.now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()

    async def run(self, number: int, name: str = "all") -> None:
        self.order.append(number)
        self.now[name] += 1
        self.most[name] = max(self.most[name], self.now[name])
        await asyncio.sleep(0.01)
        self.now[name] -= 1


def watched(watch: Watch, name: str = "pipe", **options: object) -> Pipeline[int, int]:
    pipe = Pipeline(name, input=int, output=int, **options)  # type: ignore[arg-type]

    @pipe.step
    async def work(number: int) -> int:
        await watch.run(number)
        return number

    return pipe


class TestOrderingKey:
    async def test_jobs_of_a_key_run_in_order_and_one_at_a_time(self, make_engine: MakeEngine):
        watch = Watch()
        pipe = watched(watch)
        async with make_engine([pipe]) as engine:
            for number in range(10):
                await engine.submit(pipe, number, ordering_key="a", priority=number % 10)
            await engine.submit_many(pipe, range(10, 20), ordering_key="a")
            async with engine.worker(concurrency=5), engine.worker(concurrency=5):
                await engine.run_until_empty(timeout=40)
        assert watch.order == list(range(20))
        assert watch.most["all"] == 1

    async def test_a_retry_of_the_head_is_waited_for(self, make_engine: MakeEngine):
        order: list[int] = []
        pipe = Pipeline("pipe", input=int, output=int, retry=Retry(attempts=3, first=30))

        @pipe.step
        async def work(number: int, ctx: StepContext) -> int:
            order.append(number)
            if number == 0 and ctx.attempt == 1:
                raise OSError("not now")
            return number

        async with make_engine([pipe]) as engine:
            await engine.submit_many(pipe, [0, 1, 2], ordering_key="a")
            await engine.run_until_empty(skip_waits=True)
        assert order == [0, 0, 1, 2]

    async def test_a_pipeline_can_be_ordered_by_the_owner(self, make_engine: MakeEngine):
        watch = Watch()
        pipe = watched(watch, ordered_by="owner")
        async with make_engine([pipe]) as engine:
            await engine.submit_many(pipe, range(5), owner="ann")
            await engine.run_until_empty()
        assert watch.order == list(range(5))
        assert watch.most["all"] == 1

    async def test_cancelling_the_head_lets_the_next_run_at_once(self, make_engine: MakeEngine):
        watch = Watch()
        pipe = watched(watch)
        async with make_engine([pipe]) as engine, engine.worker():
            head = await engine.submit(pipe, 1, ordering_key="a", due=timedelta(hours=1))
            follower = await engine.submit(pipe, 2, ordering_key="a")
            await head.cancel()
            assert await follower.result(timeout=5) == 2

    async def test_a_key_that_cannot_be_printed_is_refused(self, make_engine: MakeEngine):
        pipe = watched(Watch())
        async with make_engine([pipe]) as engine:
            with pytest.raises(OptionError, match="ordering_key"):
                await engine.submit(pipe, 1, ordering_key="a\x1fb")


class TestManyWorkers:
    async def test_a_key_goes_from_the_worker_of_one_queue_to_that_of_another(
        self, make_engine: MakeEngine
    ):
        watch = Watch()
        pipes = [watched(watch, name=name, queue=name) for name in ("left", "right")]
        no_sweep = replace(Timing().scaled(1 / 15), sweep=timedelta(hours=1))
        async with make_engine(pipes, timing=no_sweep) as engine:
            jobs = [
                await engine.submit(pipes[number % 2], number, ordering_key="a")
                for number in range(6)
            ]
            async with engine.worker(queues=["left"]), engine.worker(queues=["right"]):
                assert [await job.result(timeout=20) for job in jobs] == list(range(6))
        assert watch.order == list(range(6))


class TestFromSteps:
    async def test_jobs_that_a_step_submits_have_the_keys_that_it_gives(
        self, make_engine: MakeEngine
    ):
        watch = Watch()
        pipe = watched(watch)
        parent = Pipeline("parent", input=int, output=int)

        @parent.step
        async def send(number: int, ctx: StepContext) -> int:
            for one in range(number):
                await ctx.submit(pipe, one, ordering_key="a", concurrency_key="b")
            return number

        async with make_engine([pipe, parent]) as engine:
            await engine.submit(parent, 5)
            await engine.run_until_empty()
            children = [job for job in (await engine.app.list_jobs()).items if job.parent_job]
        assert watch.order == list(range(5))
        assert {(job.ordering_key, job.concurrency_key) for job in children} == {("a", "b")}


class TestLimits:
    async def test_a_pipeline_runs_no_more_jobs_than_it_says(self, make_engine: MakeEngine):
        watch = Watch()
        pipe = watched(watch, concurrency=3)
        async with make_engine([pipe]) as engine:
            await engine.submit_many(pipe, range(30))
            async with engine.worker(concurrency=10), engine.worker(concurrency=10):
                await engine.run_until_empty(timeout=40)
        assert watch.most["all"] == 3
        assert sorted(watch.order) == list(range(30))

    async def test_a_concurrency_key_lets_as_many_run_as_the_pipeline_says(
        self, make_engine: MakeEngine
    ):
        watch = Watch()
        pipe = watched(watch, key_concurrency=2)
        async with make_engine([pipe]) as engine:
            await engine.submit_many(pipe, range(20), concurrency_key="a")
            await engine.run_until_empty(timeout=40)
        assert watch.most["all"] == 2

    def test_a_limit_of_nothing_is_no_limit(self):
        with pytest.raises(DefinitionError, match="concurrency=0"):
            Pipeline("pipe", input=int, output=int, concurrency=0)

    async def test_one_is_not_set_behind_a_transaction_that_holds_claims_up(
        self, make_engine: MakeEngine
    ):
        pipe = watched(Watch())
        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 1)
            async with engine.connection() as connection, connection.transaction():
                await connection.execute("select from headrace.queues")
                with pytest.raises(UnavailableError, match="try again"):
                    await engine.app.limit_queue("default", 1)
            assert [queue.concurrency for queue in await engine.app.list_queues()] == [None]
            await engine.run_until_empty(timeout=40)
            assert await job.result() == 1

    async def test_a_new_limit_holds_for_what_runs_already(self, make_engine: MakeEngine):
        watch = Watch()
        pipe = watched(watch)
        async with make_engine([pipe]) as engine:
            await engine.submit_many(pipe, range(60))
            async with engine.worker(concurrency=2):
                await eventually(lambda: len(watch.order) > 3)
                await engine.app.limit_queue("default", 2)
                async with engine.worker(concurrency=20):
                    await engine.run_until_empty(timeout=40)
        assert watch.most["all"] <= 2
        assert len(watch.order) == 60
