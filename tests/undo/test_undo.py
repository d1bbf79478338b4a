"""What a failed or cancelled job had done is undone by a job of its own."""

import pytest

from headrace import (
    CancelJob,
    Each,
    Pipeline,
    Skip,
    StepContext,
    Transaction,
)
from headrace.errors import JobFailedError
from headrace.store.reads import DeadLetterFilter
from headrace.telemetry.events import Event, Level, add_sink
from headrace.telemetry.job_events import UndoStarted
from tests.undo.conftest import MakeEngine
from tests.undo.shop import ONCE, UNDONE, open_shop, undone


class TestAFailedJob:
    async def test_is_undone_in_reverse_order_each_step_with_what_it_made(
        self, make_engine: MakeEngine
    ):
        shop = open_shop()
        async with make_engine([shop.pipeline]) as engine:
            job = await engine.submit(shop.pipeline, 1)
            undo = await undone(engine, job)
            assert [(step.name, step.state) for step in undo.steps] == [
                ("pay", "completed"), ("pack", "completed"), ("reserve", "completed"),
            ]  # fmt: skip
            assert (await job.status()).state == "failed"
            own = await engine.app.status(undo.job_id)
            assert (own.undo_of, own.undo, own.parent_job) == (job.id, None, job.id)
            assert [step.name for step in own.steps] == ["pay.undo", "pack.undo", "reserve.undo"]
            assert await engine.app.job(undo.job_id).result() is None
            first = (await engine.app.history(undo.job_id))[0]
            assert (first.actor, first.metadata) == ("undo", {"undo_of": job.id, "undo_run": 1})
        sequence = shop.did[shop.did.index("ship") + 1 :]
        assert sorted(sequence[1:3], reverse=True) == UNDONE[1:3]
        assert [sequence[0], *sorted(sequence[1:3], reverse=True), sequence[3]] == UNDONE

    async def test_steps_that_were_not_completed_are_no_part_of_it(self, make_engine: MakeEngine):
        did: list[str] = []
        pipe = Pipeline("pipe", input=int, output=int)

        async def undo_first(first: int) -> None:
            did.append(f"first {first}")

        async def undo_item(item: int, number: int) -> None:
            did.append(f"item {item} {number}")

        async def undo_other(ctx: StepContext) -> None:  # noqa: ARG001
            did.append("other")

        @pipe.step(undo=undo_first)
        async def first(start: int) -> int:
            return start

        @pipe.step(undo=undo_other)
        async def skipped(first: int) -> int | None:  # noqa: ARG001
            raise Skip("not needed")

        @pipe.step(undo=undo_item, parallel=1, retry=ONCE)
        async def item(first: int, skipped: int | None, number: int = Each([1, 2, 3])) -> int:  # noqa: ARG001
            if number == 3:
                raise RuntimeError("three")
            return first * 10 + number

        @pipe.step(undo=undo_other)
        async def last(item: list[int]) -> int:
            return sum(item)

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 7)
            undo = await undone(engine, job)
            assert [step.name for step in undo.steps] == ["item", "first"]
        assert sorted(did[:2]) == ["item 71 1", "item 72 2"]
        assert did[2:] == ["first 7"]

    async def test_one_that_did_nothing_has_no_undo_job(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=int)

        async def undo(work: int) -> None:  # noqa: ARG001
            raise AssertionError

        @pipe.step(undo=undo, retry=ONCE)
        async def work(number: int) -> int:  # noqa: ARG001
            raise RuntimeError("no")

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 1)
            await engine.run_until_empty()
            assert (await job.status()).undo is None
            assert len(await engine.jobs()) == 1

    async def test_a_completed_one_is_not_undone(self, make_engine: MakeEngine):
        shop = open_shop()
        shop.ending = "ends"
        async with make_engine([shop.pipeline]) as engine:
            job = await engine.submit(shop.pipeline, 1)
            await engine.run_until_empty()
            assert await job.result() == "shipped"
            assert len(await engine.jobs()) == 1

    async def test_it_is_told_when_it_begins(self, make_engine: MakeEngine):
        told: list[Event] = []
        remove = add_sink(told.append, level=Level.INFO, kinds=[UndoStarted])
        shop = open_shop()
        shop.closed = {"unpack"}
        async with make_engine([shop.pipeline]) as engine:
            job = await engine.submit(shop.pipeline, 1)
            undo = await undone(engine, job, "failed")
            shop.closed = set()
            await engine.app.retry(undo.job_id)
            await undone(engine, job)
        remove()
        (event,) = told
        assert isinstance(event, UndoStarted)
        assert (str(event.undone_job_id), event.undone_run) == (job.id, 1)
        assert event.steps == ("pay", "pack", "reserve")

    async def test_what_is_large_is_given_to_the_undo(self, make_engine: MakeEngine):
        seen: list[int] = []
        pipe = Pipeline("pipe", input=int, output=str)

        async def undo(large: str) -> None:
            seen.append(len(large))

        @pipe.step(undo=undo)
        async def large(number: int) -> str:
            return "x" * number

        @pipe.step(retry=ONCE)
        async def end(large: str) -> str:  # noqa: ARG001
            raise RuntimeError("no")

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 3_000_000)
            await undone(engine, job)
        assert seen == [3_000_000]


class TestAnUndoFunction:
    async def test_has_its_own_tries_and_the_later_ones_wait(self, make_engine: MakeEngine):
        shop = open_shop()
        shop.closed = {"release"}
        async with make_engine([shop.pipeline]) as engine:
            job = await engine.submit(shop.pipeline, 1)
            undo = await undone(engine, job, "failed")
            assert [step.state for step in undo.steps] == ["completed", "completed", "failed"]
            assert shop.did.count("release r1") == 2
            (letter,) = [
                one
                for one in (await engine.app.list_dead_letters()).items
                if one.job == undo.job_id
            ]
            assert (letter.step, letter.message) == ("reserve.undo", "cannot release r1")

    async def test_one_that_fails_keeps_those_before_it_waiting(self, make_engine: MakeEngine):
        shop = open_shop()
        shop.closed = {"refund"}
        async with make_engine([shop.pipeline]) as engine:
            job = await engine.submit(shop.pipeline, 1)
            undo = await undone(engine, job, "failed")
            assert [step.state for step in undo.steps] == ["failed", "pending", "pending"]
            assert shop.did[-2:] == ["refund 0.5 1"] * 2

    async def test_a_dead_one_is_redriven_and_goes_on_where_it_stopped(
        self, make_engine: MakeEngine
    ):
        shop = open_shop()
        shop.closed = {"unpack"}
        async with make_engine([shop.pipeline]) as engine:
            job = await engine.submit(shop.pipeline, 1)
            await undone(engine, job, "failed")
            shop.closed = set()
            shop.did.clear()
            done = await engine.app.redrive(DeadLetterFilter())
            assert (done.matched, len(done.runs), done.skipped) == (2, 1, 1)
            undo = await undone(engine, job)
            assert list(done.runs) == [undo.job_id]
        assert "refund 0.5 1" not in shop.did
        assert shop.did[-1] == "release r1"

    async def test_its_statements_are_committed_with_its_checkpoint(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=int)

        async def undo(insert: int, tx: Transaction) -> None:
            await tx.execute("delete from orders where number = $1", insert)

        @pipe.step(undo=undo)
        async def insert(number: int, tx: Transaction) -> int:
            await tx.execute("insert into orders values ($1)", number)
            return number

        @pipe.step(retry=ONCE)
        async def end(insert: int) -> int:  # noqa: ARG001
            raise RuntimeError("no")

        async with make_engine([pipe]) as engine:
            async with engine.connection() as connection:
                await connection.execute("create table orders (number integer)")
            await engine.submit(pipe, 3)
            job = await engine.submit(pipe, 4)
            await undone(engine, job)
            async with engine.connection() as connection:
                assert await connection.fetchval("select count(*) from orders") == 0

    async def test_one_that_asks_to_cancel_its_job_has_failed(self, make_engine: MakeEngine):
        pipe = Pipeline("pipe", input=int, output=int)

        async def undo(work: int) -> None:  # noqa: ARG001
            raise CancelJob("enough")

        @pipe.step(undo=undo)
        async def work(number: int) -> int:
            return number

        @pipe.step(retry=ONCE)
        async def end(work: int) -> int:  # noqa: ARG001
            raise RuntimeError("no")

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 3)
            undo = await undone(engine, job, "failed")
            with pytest.raises(JobFailedError, match="cannot cancel"):
                await engine.app.job(undo.job_id).result()
