"""What waits holds no slot, is looked at when something has come, and not again and again."""

import asyncio
from datetime import timedelta
from uuid import UUID

from headrace import Each, JobHandle, PermanentError, Pipeline, Signal, StepContext
from headrace.store.forcing import force_release
from tests.engine.conftest import MakeEngine
from tests.waiting import eventually
from tests.waits.looking import bound_children, children_of, claims_of, until_state, until_waiting

LONG = timedelta(days=3)


def answering(name: str = "answering", queue: str = "default") -> Pipeline[int, int]:
    """Ends with what it is sent."""
    pipe = Pipeline(name, input=int, output=int, queue=queue)

    @pipe.step
    async def answer_with(number: int, answer: int = Signal(timeout=LONG)) -> int:
        if answer < 0:
            raise PermanentError("below zero")
        return number + answer

    return pipe


class TestAStepThatWaitsForSeveralThings:
    async def test_a_delay_that_is_over_does_not_keep_the_slot_while_the_signal_is_missing(
        self, make_engine: MakeEngine
    ) -> None:
        pipe = Pipeline("both", input=int, output=int)

        @pipe.step(delay=0.05)
        async def decide(number: int, answer: int = Signal(timeout=LONG)) -> int:
            return number + answer

        async with make_engine([pipe]) as engine, engine.worker(concurrency=1):
            job = await engine.submit(pipe, 1)
            await until_waiting(job, "external")
            early = await engine.submit(pipe, 2)
            await until_waiting(early, "external")
            assert await claims_of(engine, job) <= 3
            assert await job.send("answer", 1)
            assert await job.result(timeout=20) == 2

    async def test_a_signal_that_is_there_does_not_shorten_the_delay(
        self, make_engine: MakeEngine
    ) -> None:
        pipe = Pipeline("both", input=int, output=int)

        @pipe.step(delay=timedelta(hours=1))
        async def decide(number: int, answer: int = Signal(timeout=LONG)) -> int:
            return number + answer

        async with make_engine([pipe]) as engine, engine.worker():
            job = await engine.submit(pipe, 1)
            await until_waiting(job, "external")
            assert await job.send("answer", 1)
            await until_waiting(job, "delay")
            await engine.move_clock(timedelta(minutes=61))
            assert await job.result(timeout=20) == 2

    async def test_one_that_takes_a_signal_and_has_a_child_is_called_once(
        self, make_engine: MakeEngine
    ) -> None:
        child, pipe = answering(), Pipeline("parent", input=int, output=int)
        calls = []

        @pipe.step
        async def ask(ctx: StepContext, start: int = Signal(timeout=LONG)) -> JobHandle[int]:
            calls.append(start)
            return await ctx.submit(child, start)

        async with make_engine([child, pipe]) as engine:
            job = await engine.submit(pipe, 1)
            assert await job.send("start", 5)
            async with engine.worker():
                await until_waiting(job, "child")
            async with engine.worker():
                (made,) = await children_of(engine, job)
                assert await engine.app.send(made, "answer", 2)
                assert await job.result(timeout=20) == 7
        assert calls == [5]

    async def test_one_whose_other_steps_run_gets_what_comes_meanwhile(
        self, make_engine: MakeEngine
    ) -> None:
        pipe, go = Pipeline("beside", input=int, output=int), asyncio.Event()

        @pipe.step
        async def work(number: int) -> int:
            await go.wait()
            return number

        @pipe.step
        async def decide(answer: int = Signal(timeout=LONG)) -> int:
            go.set()
            return answer

        @pipe.step
        async def add(work: int, decide: int) -> int:
            return work + decide

        async with make_engine([pipe]) as engine, engine.worker():
            job = await engine.submit(pipe, 1)
            await until_state(job, "running")
            assert await job.send("answer", 1)
            assert await job.result(timeout=20) == 2
            assert await claims_of(engine, job) == 1


class TestAChildThatSomebodyRunsAgain:
    async def test_the_parent_waits_for_its_next_end(self, make_engine: MakeEngine) -> None:
        child = answering(queue="children")
        pipe = Pipeline("parent", input=int, output=int, queue="parents")

        @pipe.step
        async def ask(number: int, ctx: StepContext) -> JobHandle[int]:
            return await ctx.submit(child, number)

        async with make_engine([child, pipe]) as engine:
            client = engine.app
            async with engine.worker(queues=["parents", "children"]):
                job = await engine.submit(pipe, 1)
                await until_waiting(job, "child")
                (made,) = await children_of(engine, job)
                await client.pause_queue("parents")
                assert await client.send(made, "answer", -1)
                await until_state(client.job(made), "failed")
                # Its new run takes over what was sent to the one before, unless all runs again.
                await client.retry(made, force=True)
                await until_waiting(client.job(made), "external")
                before = await claims_of(engine, job)
                await client.resume_queue("parents")

                async def is_bound() -> bool:
                    return bool(await bound_children(engine))

                await eventually(is_bound)
                await until_waiting(job, "child")
                assert await client.send(made, "answer", 1)
                assert await job.result(timeout=20) == 2
                assert await claims_of(engine, job) <= before + 3


class TestAJobThatAnOperatorTakesFromItsWorker:
    async def test_it_is_due_at_once_though_it_had_waited_for_days(
        self, make_engine: MakeEngine
    ) -> None:
        pipe = Pipeline("taken", input=int, output=int)
        begun: list[int] = []

        @pipe.step
        async def decide(number: int, answer: int = Signal(timeout=LONG)) -> int:
            begun.append(number)
            if len(begun) == 1:
                await asyncio.Event().wait()
            return answer

        async with make_engine([pipe]) as engine, engine.worker():
            job = await engine.submit(pipe, 1)
            await until_waiting(job, "external")
            assert await job.send("answer", 1)
            await eventually(lambda: begun)
            async with engine.connection() as connection:
                await force_release(
                    connection,
                    UUID(job.id),
                    by="test",
                    reason="stuck",
                    head_start=timedelta(minutes=1),
                )
            assert await job.result(timeout=30) == 1


class TestItems:
    async def test_items_wait_for_one_signal_together(self, make_engine: MakeEngine) -> None:
        pipe = Pipeline("items", input=int, output=int)

        @pipe.step
        async def spread(number: int) -> list[int]:
            return list(range(number))

        @pipe.step
        async def weigh(one: int = Each(spread), factor: int = Signal(timeout=LONG)) -> int:
            return one * factor

        @pipe.step
        async def total(weigh: list[int]) -> int:
            return sum(weigh)

        async with make_engine([pipe]) as engine, engine.worker():
            job = await engine.submit(pipe, 4)
            await until_waiting(job, "external")
            assert await job.send("factor", 10)
            assert await job.result(timeout=20) == 60


class TestLimits:
    async def test_who_waits_lets_others_of_its_key_in(self, make_engine: MakeEngine) -> None:
        pipe = Pipeline("limited", input=int, output=int, concurrency=1)

        @pipe.step
        async def decide(number: int, answer: int = Signal(timeout=LONG)) -> int:
            return number + answer

        async with make_engine([pipe]) as engine, engine.worker():
            jobs = await engine.submit_many(pipe, [1, 2, 3])
            for job in jobs:
                await until_waiting(job, "external")
            for job in reversed(jobs):
                assert await job.send("answer", 10)
            assert [await job.result(timeout=20) for job in jobs] == [11, 12, 13]

    async def test_who_is_next_in_order_waits_behind_it(self, make_engine: MakeEngine) -> None:
        pipe = Pipeline("ordered", input=int, output=int)

        @pipe.step
        async def decide(number: int, answer: int = Signal(timeout=LONG)) -> int:
            return number + answer

        async with make_engine([pipe]) as engine, engine.worker():
            first = await engine.submit(pipe, 1, ordering_key="a")
            await until_waiting(first, "external")
            second = await engine.submit(pipe, 2, ordering_key="a")
            assert await second.send("answer", 10)
            assert await first.send("answer", 10)
            assert await second.result(timeout=20) == 12
            (ended,) = [row for row in await engine.events(first) if row.to_state == "completed"]
            begun = [row for row in await engine.events(second) if row.to_state == "running"]
            assert begun[0].at >= ended.at
