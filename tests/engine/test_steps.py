"""How the steps of one job run: their order, what they are given, what they may return."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from pydantic import BaseModel, Field

from headrace import JobState, Pipeline, Skip, StepContext, SyncContext, Use
from headrace.errors import JobFailedError
from tests.engine.conftest import MakeEngine


class Trace(list[str]):
    """What happened, in order."""


class TestOrder:
    async def test_a_step_starts_after_the_checkpoint_of_what_it_needs_is_committed(
        self, make_engine: MakeEngine
    ):
        seen: list[tuple[str, object]] = []
        chain = Pipeline("chain", input=int, output=int)

        @chain.step
        async def first(number: int) -> int:
            return number + 1

        @chain.step
        async def second(first: int, ctx: StepContext) -> int:
            seen.extend((row.step, row.output) for row in await engine.steps(ctx.job_id))
            return first * 10

        async with make_engine([chain]) as engine:
            job = await engine.submit(chain, 1)
            await engine.run_until_empty()
            assert await job.result() == 20
        assert seen == [("first", 2)]

    async def test_after_orders_steps_that_share_no_data(self, make_engine: MakeEngine):
        trace = Trace()
        ordered = Pipeline("ordered", input=int, output=str)

        @ordered.step
        async def slow(number: int) -> int:
            await asyncio.sleep(0)
            trace.append("slow")
            return number

        @ordered.step(after=[slow])
        async def last(number: int) -> str:
            trace.append("last")
            return str(number)

        async with make_engine([ordered]) as engine:
            await engine.submit(ordered, 1)
            await engine.run_until_empty()
        assert trace == ["slow", "last"]

    async def test_the_result_is_the_last_step_that_returns_the_output_type(
        self, make_engine: MakeEngine
    ):
        pipe = Pipeline("pipe", input=int, output=str)

        @pipe.step
        async def early(number: int) -> str:
            return f"early {number}"

        @pipe.step
        async def late(early: str) -> str:
            return f"late after {early}"

        @pipe.step
        async def afterwards(late: str) -> int:
            return len(late)

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 1)
            await engine.run_until_empty()
            assert await job.result() == "late after early 1"


class TestIndependentSteps:
    async def test_they_run_at_the_same_time(self, make_engine: MakeEngine):
        both = asyncio.Barrier(2)
        pair = Pipeline("pair", input=int, output=int)

        @pair.step
        async def left(number: int) -> int:
            await both.wait()
            return number

        @pair.step
        async def right(number: int) -> int:
            await both.wait()
            return number

        @pair.step
        async def join(left: int, right: int) -> int:
            return left + right

        async with make_engine([pair]) as engine:
            job = await engine.submit(pair, 4)
            await engine.run_until_empty(timeout=5)
            assert await job.result() == 8


class TestPlainFunctions:
    async def test_they_run_in_a_thread_and_leave_the_loop_free(self, make_engine: MakeEngine):
        released = threading.Event()
        threads: set[int] = set()
        mixed = Pipeline("mixed", input=int, output=int)

        @mixed.step
        def block(number: int) -> int:
            threads.add(threading.get_ident())
            assert released.wait(5)
            return number

        @mixed.step
        async def release(number: int) -> int:
            released.set()
            return number

        @mixed.step
        def total(block: int, release: int, ctx: SyncContext) -> int:
            assert ctx.once("sum", added, block, release) == block + release
            return block + release

        async with make_engine([mixed]) as engine:
            job = await engine.submit(mixed, 3)
            await engine.run_until_empty(timeout=8)
            assert await job.result() == 6
        assert threading.get_ident() not in threads


def added(one: int, other: int) -> int:
    return one + other


class Client:
    """Counts how often it is opened and closed."""

    opened = closed = used = 0


@asynccontextmanager
async def open_client() -> AsyncIterator[type[Client]]:
    Client.opened += 1
    await asyncio.sleep(0)  # others ask for it meanwhile
    yield Client
    Client.closed += 1


class Closable:
    """Has no context manager: it is closed by its method."""

    def __init__(self) -> None:
        self.is_closed = False

    async def aclose(self) -> None:
        self.is_closed = True


class TestUse:
    async def test_a_client_is_opened_once_a_worker_and_closed_at_its_end(
        self, make_engine: MakeEngine
    ):
        Client.opened = Client.closed = Client.used = 0
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        async def ask(number: int, client: type[Client] = Use(open_client)) -> int:
            client.used += 1
            return number

        @pipe.step
        async def ask_again(ask: int, client: type[Client] = Use(open_client)) -> int:
            client.used += 1
            return ask

        async with make_engine([pipe]) as engine:
            async with engine.worker():
                await engine.submit_many(pipe, range(5))
                await engine.run_until_empty()
                assert (Client.opened, Client.closed, Client.used) == (1, 0, 10)
            assert Client.closed == 1

    async def test_a_client_without_a_context_manager_is_closed_by_its_method(
        self, make_engine: MakeEngine
    ):
        made: list[Closable] = []

        def make() -> Closable:
            made.append(Closable())
            return made[-1]

        pipe = Pipeline("pipe", input=int, output=bool)

        @pipe.step
        async def ask(number: int, client: Closable = Use(make)) -> bool:  # noqa: ARG001
            return client.is_closed

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 1)
            await engine.run_until_empty()
            assert await job.result() is False
        assert [client.is_closed for client in made] == [True]

    async def test_a_factory_that_fails_is_a_failed_try_and_is_asked_again(
        self, make_engine: MakeEngine
    ):
        calls = Trace()

        async def make() -> Closable:
            calls.append("make")
            if len(calls) == 1:
                raise ConnectionError("the service is down")
            return Closable()

        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        async def ask(number: int, client: Closable = Use(make)) -> int:  # noqa: ARG001
            return number

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 1)
            await engine.run_until_empty(skip_waits=True)
            assert await job.result() == 1
            [tried] = await engine.tries(job)
            assert (tried.kind, tried.code) == ("transient", "ConnectionError")
        assert calls == ["make", "make"]


class TestSkip:
    async def test_a_skipped_step_says_why_and_later_steps_get_none(self, make_engine: MakeEngine):
        given: list[int | None] = []
        pipe = Pipeline("pipe", input=int, output=str)

        @pipe.step
        async def maybe(number: int) -> int | None:
            raise Skip(f"{number} is too small")

        @pipe.step
        async def follow(maybe: int | None) -> str:
            given.append(maybe)
            return "followed"

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 1)
            await engine.run_until_empty()
            assert await job.result() == "followed"
            skipped, followed = await engine.steps(job)
            assert (skipped.state, skipped.reason) == ("skipped", "1 is too small")
            assert followed.state == "completed"
        assert given == [None]

    async def test_none_that_is_returned_is_an_output_like_any_other(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=bool)

        @pipe.step
        async def maybe(number: int) -> int | None:  # noqa: ARG001
            return None

        @pipe.step
        async def follow(maybe: int | None) -> bool:
            return maybe is None

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 1)
            await engine.run_until_empty()
            assert await job.result() is True
            assert [row.state for row in await engine.steps(job)] == ["completed", "completed"]

    async def test_where_none_is_no_output_it_fails_at_once_and_says_so(
        self, make_engine: MakeEngine
    ):
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        async def must(number: int) -> int:
            raise Skip(f"{number}")

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 1)
            await engine.run_until_empty()
            row = await engine.job(job)
            assert (row.state, row.cause) == (JobState.FAILED, "permanent_error")
            [tried] = await engine.tries(job)
            assert tried.code == "SKIP_NOT_ALLOWED"
            assert "`-> int | None`" in tried.message


@dataclass
class Basket:
    """What one step could change behind another's back."""

    fruits: list[str]


class Animal(BaseModel):
    """Its subclass has a field that the annotation `Animal` does not store."""

    name: str


class Dog(Animal):
    """See `Animal`."""

    tricks: int = 0


class Hidden(BaseModel):
    """One field is never written down."""

    name: str
    note: str = Field(default="", exclude=True)


class TestOutputs:
    async def test_each_step_gets_a_copy_of_its_own_as_after_a_crash(self, make_engine: MakeEngine):
        made: list[Basket] = []
        pipe = Pipeline("pipe", input=str, output=list[str])

        @pipe.step
        async def fill(fruit: str) -> Basket:
            made.append(Basket([fruit]))
            return made[-1]

        @pipe.step
        async def eat(fill: Basket) -> int:
            assert fill is not made[-1]
            fill.fruits.clear()
            return 0

        @pipe.step(after=[eat])
        async def count(fill: Basket) -> list[str]:
            return fill.fruits

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, "apple")
            await engine.run_until_empty()
            assert await job.result() == ["apple"]

    async def test_the_input_is_the_type_that_was_validated(self, make_engine: MakeEngine):
        kinds: list[type] = []
        pipe = Pipeline("pipe", input=Animal, output=str)

        @pipe.step
        async def name(animal: Animal) -> str:
            kinds.append(type(animal))
            return animal.name

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, Animal(name="Rex"))
            await engine.run_until_empty()
            assert await job.result() == "Rex"
        assert kinds == [Animal]

    @pytest.mark.parametrize(
        ("kind", "output", "path"),
        [
            (Animal, Dog(name="Rex", tricks=3), "$: a Dog"),
            (Hidden, Hidden(name="Rex", note="bone"), "$.note"),
        ],
        ids=["a subclass", "a field that is not written"],
    )
    async def test_one_that_does_not_come_back_equal_is_refused_with_its_path(
        self, make_engine: MakeEngine, kind: type[BaseModel], output: BaseModel, path: str
    ):
        pipe = Pipeline("pipe", input=int, output=kind)

        @pipe.step
        async def give(number: int) -> kind:  # noqa: ARG001
            return output

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 1)
            await engine.run_until_empty()
            with pytest.raises(JobFailedError) as caught:
                await job.result()
            assert caught.value.cause == "permanent_error"
            assert path in caught.value.message
            assert await engine.steps(job) == []
            assert len(await engine.tries(job)) == 1
