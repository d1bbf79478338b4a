"""What becomes of a value that is sent: twice, early, late, wrong, to whom."""

import asyncio
import threading
import uuid
from dataclasses import dataclass
from datetime import timedelta

import pytest

from headrace import Each, JobState, Pipeline, Signal, StepContext, Transaction, Use
from headrace.errors import (
    InputError,
    JobFailedError,
    JobFinishedError,
    JobNotFoundError,
    SignalNotFoundError,
)
from tests.engine.conftest import MakeEngine
from tests.waits.looking import claims_of, rows_of, until_state, until_waiting

LONG = timedelta(days=3)


@dataclass(frozen=True)
class Answer:
    ok: bool
    note: str = ""


asking = Pipeline("asking", input=int, output=str)


@asking.step
async def decide(number: int, answer: Answer = Signal(timeout=LONG)) -> str:
    return f"{number} {answer.ok} {answer.note}"


lenient = Pipeline("lenient", input=int, output=str)


@lenient.step
async def go_on(number: int, answer: Answer | None = Signal(timeout=LONG)) -> str:
    return f"{number} {answer and answer.ok}"


class TestSentTwice:
    async def test_the_first_value_stands_and_the_same_again_is_no_error(
        self, make_engine: MakeEngine
    ) -> None:
        async with make_engine([asking]) as engine:
            job = await engine.submit(asking, 1)
            assert await job.send("answer", Answer(ok=True))
            assert await job.send("answer", Answer(ok=True))
            assert not await job.send("answer", Answer(ok=False))
            async with engine.worker():
                assert await job.result(timeout=20) == "1 True "
            (row,) = await rows_of(engine, "signals", job)
            assert (row["sent_by"], row["expired"]) == ("user", False)

    async def test_of_many_at_once_one_stands(self, make_engine: MakeEngine) -> None:
        async with make_engine([asking]) as engine, engine.worker():
            job = await engine.submit(asking, 1)
            notes = [f"note {number % 5}" for number in range(25)]
            stands = await asyncio.gather(
                *(job.send("answer", Answer(ok=True, note=note)) for note in notes)
            )
            won = {note for note, stood in zip(notes, stands, strict=True) if stood}
            assert len(won) == 1
            assert sum(stands) == 5
            assert await job.result(timeout=20) == f"1 True {won.pop()}"


class TestAJobThatHasEnded:
    async def test_nothing_is_stored_unless_the_same_value_stands_already(
        self, make_engine: MakeEngine
    ) -> None:
        async with make_engine([asking]) as engine:
            unasked = await engine.submit(asking, 1)
            await unasked.cancel()
            with pytest.raises(JobFinishedError):
                await unasked.send("answer", Answer(ok=True))
            assert await rows_of(engine, "signals", unasked) == []
            asked = await engine.submit(asking, 1)
            assert await asked.send("answer", Answer(ok=True))
            async with engine.worker():
                await asked.result(timeout=20)
            assert await asked.send("answer", Answer(ok=True))
            assert not await asked.send("answer", Answer(ok=False))


class TestWhatIsRefused:
    async def test_a_wrong_value_says_where_it_is_wrong(self, make_engine: MakeEngine) -> None:
        async with make_engine([asking]) as engine:
            job = await engine.submit(asking, 1)
            with pytest.raises(InputError, match="answer"):
                await job.send("answer", {"ok": "perhaps"})
            with pytest.raises(InputError):
                await job.send("answer", None)
            assert await rows_of(engine, "signals", job) == []

    async def test_an_unknown_name_lists_those_there_are(self, make_engine: MakeEngine) -> None:
        async with make_engine([asking]) as engine:
            job = await engine.submit(asking, 1)
            with pytest.raises(SignalNotFoundError, match="answer"):
                await job.send("answr", Answer(ok=True))

    async def test_an_unknown_job(self, make_engine: MakeEngine) -> None:
        async with make_engine([asking]) as engine:
            with pytest.raises(JobNotFoundError):
                await engine.app.send(uuid.uuid4(), "answer", Answer(ok=True))


class TestTooLate:
    async def test_a_step_that_takes_none_goes_on_with_it(self, make_engine: MakeEngine) -> None:
        async with make_engine([lenient]) as engine, engine.worker():
            job = await engine.submit(lenient, 1)
            await until_waiting(job, "external")
            await engine.move_clock(LONG + timedelta(seconds=1))
            assert await job.result(timeout=20) == "1 None"
            assert not await job.send("answer", Answer(ok=True))
            (row,) = await rows_of(engine, "signals", job)
            assert row["expired"]

    async def test_the_job_of_another_one_fails(self, make_engine: MakeEngine) -> None:
        async with make_engine([asking]) as engine, engine.worker():
            job = await engine.submit(asking, 1)
            await until_waiting(job, "external")
            await engine.move_clock(LONG + timedelta(seconds=1))
            with pytest.raises(JobFailedError) as caught:
                await job.result(timeout=20)
            assert caught.value.cause == "wait_limit"
            assert ((await engine.job(job)).error or {})["code"] == "SIGNAL_TIMEOUT"

    async def test_waiting_is_no_running_time_and_no_time_put_off(
        self, make_engine: MakeEngine
    ) -> None:
        # A job may run for an hour, and be put off for a day in all: it waits for longer.
        pipe = Pipeline("short", input=int, output=int, timeout=timedelta(hours=1))

        @pipe.step
        async def first(number: int, one: int = Signal(timeout=LONG)) -> int:
            return number + one

        @pipe.step(delay=timedelta(days=2))
        async def second(first: int, two: int = Signal(timeout=LONG)) -> int:
            return first + two

        async with make_engine([pipe]) as engine, engine.worker():
            job = await engine.submit(pipe, 1)
            await until_waiting(job, "external")
            await engine.move_clock(timedelta(days=2))
            assert await job.send("one", 1)
            assert await job.send("two", 1)
            await until_waiting(job, "delay")
            await engine.move_clock(timedelta(days=2, hours=1))
            assert await job.result(timeout=20) == 3

    async def test_a_deadline_ends_the_wait(self, make_engine: MakeEngine) -> None:
        async with make_engine([asking]) as engine, engine.worker():
            job = await engine.submit(asking, 1, deadline=timedelta(hours=1))
            await until_waiting(job, "external")
            await engine.move_clock(timedelta(hours=2))
            await until_state(job, "failed")
            with pytest.raises(JobFinishedError):
                await job.send("answer", Answer(ok=True))


class TestStepsThatTakeIt:
    async def test_two_steps_get_one_value(self, make_engine: MakeEngine) -> None:
        pipe = Pipeline("two", input=int, output=int)

        @pipe.step
        async def first(number: int, answer: int = Signal(timeout=LONG)) -> int:
            return number + answer

        @pipe.step
        async def second(first: int, answer: int = Signal(timeout=LONG)) -> int:
            return first * answer

        async with make_engine([pipe]) as engine, engine.worker():
            job = await engine.submit(pipe, 1)
            await until_waiting(job, "external")
            assert await job.send("answer", 3)
            assert await job.result(timeout=20) == 12
            assert await claims_of(engine, job) == 2

    async def test_a_step_that_is_retried_gets_it_again(self, make_engine: MakeEngine) -> None:
        pipe, got = Pipeline("again", input=int, output=int), []

        @pipe.step
        async def check(number: int, answer: int = Signal(timeout=LONG)) -> int:
            got.append(answer)
            if len(got) < 3:
                raise RuntimeError("not yet")
            return number + answer

        async with make_engine([pipe]) as engine:
            job = await engine.submit(pipe, 1)
            assert await job.send("answer", 3)
            await engine.run_until_empty(30, skip_waits=True)
            assert await job.result(timeout=10) == 4
        assert got == [3, 3, 3]

    async def test_beside_clients_contexts_and_transactions(self, make_engine: MakeEngine) -> None:
        class Shop:
            price = 10

        pipe = Pipeline("whole", input=int, output=int)

        @pipe.step
        async def count(
            number: int,
            ctx: StepContext,
            tx: Transaction,
            answer: int = Signal(timeout=LONG),
            shop: Shop = Use(Shop),
        ) -> int:
            assert await tx.fetchval("select $1::integer", answer) == answer
            return number + answer + shop.price + len(ctx.tenant)

        async with make_engine([pipe]) as engine, engine.worker():
            job = await engine.submit(pipe, 1, tenant="me")
            assert await job.send("answer", 3)
            assert await job.result(timeout=20) == 16

    async def test_plain_functions_in_threads_and_processes(self, make_engine: MakeEngine) -> None:
        async with make_engine([plain]) as engine, engine.worker():
            job = await engine.submit(plain, 1)
            await until_waiting(job, "external")
            assert await job.send("answer", Answer(ok=True, note="elsewhere"))
            assert await job.result(timeout=30) == "1 elsewhere elsewhere True"

    async def test_items_that_have_their_own_wait_for_it(self, make_engine: MakeEngine) -> None:
        pipe = Pipeline("items", input=int, output=list[int])

        @pipe.step
        async def spread(number: int) -> list[int]:
            return list(range(number))

        @pipe.step
        async def weigh(one: int = Each(spread), by: int | None = Signal(timeout=LONG)) -> int:
            return one * (by or 100)

        async with make_engine([pipe]) as engine, engine.worker():
            job = await engine.submit(pipe, 3)
            await until_waiting(job, "external")
            await engine.move_clock(LONG + timedelta(seconds=1))
            assert await job.result(timeout=20) == [0, 100, 200]


plain = Pipeline("plain", input=int, output=str)


@plain.step
def in_thread(number: int, answer: Answer = Signal(timeout=LONG)) -> str:
    assert threading.current_thread() is not threading.main_thread()
    return f"{number} {answer.note}"


@plain.step(runs_in="process")
def in_process(in_thread: str, answer: Answer = Signal(timeout=LONG)) -> str:
    return f"{in_thread} {answer.note} {answer.ok}"


class TestNewerCode:
    async def test_it_goes_on_with_what_older_code_waited_for(
        self, make_engine: MakeEngine
    ) -> None:
        def version(number: str, timeout: timedelta) -> Pipeline[int, str]:
            pipe = Pipeline("moving", version=number, input=int, output=str)

            @pipe.step(name="first" if number == "1.0.0" else "begin", **_was(number))
            async def first(number: int) -> int:
                return number

            @pipe.step
            async def second(number: int, answer: str = Signal(timeout=timeout)) -> str:
                return f"{number} {answer}"

            return pipe

        old, new = version("1.0.0", LONG), version("1.1.0", timedelta(seconds=1))
        async with make_engine([old]) as engine:
            async with engine.worker():
                job = await engine.submit(old, 1)
                await until_waiting(job, "external")
            async with engine.app_with([new]) as newer, engine.worker(app=newer):
                # What was begun lasts as long as it was to: only the code is new.
                await engine.move_clock(timedelta(days=2))
                assert (await job.status()).state is JobState.QUEUED
                assert await newer.send(job.id, "answer", "yes")
                assert await job.result(timeout=20) == "1 yes"


def _was(number: str) -> dict[str, str]:
    return {} if number == "1.0.0" else {"was": "first"}
