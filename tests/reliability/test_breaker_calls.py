"""What calls through a breaker are, and which of their ends count."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from headrace import CircuitBreaker, Headrace, PermanentError
from headrace.errors import BreakerOpenError, DefinitionError
from headrace.reliability.breaker import Counts
from headrace.reliability.surroundings import Somewhere, placed, surroundings
from headrace.store.breakers import Rules
from tests.reliability.breaker_kit import (
    AnswerError,
    fail,
    half_open,
    state,
    through,
)


class TestWhatCounts:
    @pytest.mark.parametrize("status", [401, 403, 404, 429])
    async def test_answers_below_500_do_not_open_it(
        self, app: Headrace, breaker: CircuitBreaker, status: int
    ):
        async with app.primitives():
            await fail(breaker, 20, status=status)
            assert await state(app) == "closed"
            await fail(breaker, 4)
            assert await state(app) == "closed"

    async def test_a_tried_call_with_such_an_answer_lets_the_next_one_be_tried(
        self, app: Headrace, breaker: CircuitBreaker
    ):
        async with app.primitives():
            await half_open(app, breaker)
            await fail(breaker, 3, status=404)
            assert await state(app) == "half_open"
            async with breaker:
                pass
            async with breaker:
                pass
            assert await state(app) == "closed"

    async def test_a_tried_call_that_is_cancelled_lets_the_next_one_be_tried(
        self, app: Headrace, breaker: CircuitBreaker
    ):
        going = asyncio.Event()

        async def hang() -> None:
            async with breaker:
                going.set()
                await asyncio.Event().wait()

        async with app.primitives():
            await half_open(app, breaker)
            task = asyncio.create_task(hang())
            await going.wait()
            task.cancel()
            await asyncio.wait({task})
            async with breaker:
                pass
            assert await state(app) == "half_open"

    async def test_steering_is_not_a_failure(self, app: Headrace):
        breaker = CircuitBreaker("openai", failures=1, counts=Exception)
        async with app.primitives():
            with pytest.raises(PermanentError):
                async with breaker:
                    raise PermanentError("no")
            assert await state(app) == "closed"

    @pytest.mark.parametrize(
        "counts", [KeyError, (KeyError, IndexError), lambda error: "7" in str(error)]
    )
    async def test_a_user_may_say_what_counts(self, app: Headrace, counts: Counts):
        breaker = CircuitBreaker("openai", failures=1, counts=counts)
        async with app.primitives():
            await fail(breaker)
            assert await state(app) == "closed"
            with pytest.raises(KeyError):
                async with breaker:
                    raise KeyError(7)
            assert await state(app) == "open"


class TestCalls:
    async def test_a_call_inside_of_a_call_is_a_part_of_it(
        self, app: Headrace, breaker: CircuitBreaker
    ):
        async with app.primitives():
            await half_open(app, breaker)
            async with breaker, breaker:
                await asyncio.gather(through(breaker), through(breaker))
            assert await state(app) == "half_open"
            async with breaker:
                pass
            assert await state(app) == "closed"

    async def test_plain_functions_use_it_in_their_threads(
        self, app: Headrace, breaker: CircuitBreaker
    ):
        def call(status: int) -> str:
            with breaker:
                if status >= 500:
                    raise AnswerError(status)
                return "fine"

        async with app.primitives():
            assert await asyncio.to_thread(call, 200) == "fine"
            for _ in range(5):
                with pytest.raises(AnswerError):
                    await asyncio.to_thread(call, 500)
            with pytest.raises(BreakerOpenError):
                await asyncio.to_thread(call, 200)

    async def test_on_a_loop_a_plain_with_says_what_to_write(
        self, app: Headrace, breaker: CircuitBreaker
    ):
        async with app.primitives():
            with pytest.raises(DefinitionError, match="async with"), breaker:
                pass

    async def test_another_loop_may_use_it(self, app: Headrace, breaker: CircuitBreaker):
        async with app.primitives():
            await asyncio.to_thread(asyncio.run, fail(breaker, 5))
            assert await state(app) == "open"

    async def test_outside_of_steps_it_says_where_it_belongs(self, breaker: CircuitBreaker):
        with pytest.raises(DefinitionError, match=r"app\.primitives"):
            async with breaker:
                pass


class TestInSteps:
    """What leaves the block of a job's call; what becomes of it: tests.engine.test_breakers."""

    async def test_a_failure_waits_for_the_breaker_to_open(
        self, app: Headrace, breaker: CircuitBreaker
    ):
        async with app.primitives():
            with in_a_job(suspense_s=60):
                calls = [fail_once(breaker) for _ in range(5)]
                assert await asyncio.gather(*calls) == ["AnswerError"] * 5

    async def test_a_failure_that_stays_alone_is_what_it_was(
        self, app: Headrace, breaker: CircuitBreaker
    ):
        async with app.primitives():
            with in_a_job(suspense_s=0.1), pytest.raises(AnswerError):
                async with breaker:
                    raise AnswerError(503)

    async def test_a_call_that_was_tried_and_failed_comes_back_when_the_next_one_is(
        self, app: Headrace, breaker: CircuitBreaker
    ):
        async with app.primitives():
            await half_open(app, breaker)
            with in_a_job(), pytest.raises(BreakerOpenError) as error:
                async with breaker:
                    raise AnswerError(503)
            assert timedelta(seconds=20) < error.value.retry_after
            assert isinstance(error.value.__cause__, AnswerError)


async def fail_once(breaker: CircuitBreaker) -> str:
    """The cause of what is raised in the place of a failure."""
    with pytest.raises(BreakerOpenError) as error:
        async with breaker:
            raise AnswerError(503)
    return type(error.value.__cause__).__name__


@contextlib.contextmanager
def in_a_job(*, suspense_s: float = 1.0) -> Iterator[None]:
    rules = Rules(suspense=timedelta(seconds=suspense_s))
    around = replace(surroundings(), job=UUID(int=1), breaker_rules=rules)
    with placed(Somewhere(around)):
        yield


class TestDecorator:
    async def test_it_guards_async_and_plain_functions(
        self, app: Headrace, breaker: CircuitBreaker
    ):
        @breaker
        async def ask(question: str, *, times: int = 1) -> str:
            """Ask."""
            return question * times

        @breaker
        def ask_plainly(question: str) -> str:
            raise AnswerError(len(question) + 499)

        assert inspect.iscoroutinefunction(ask)
        assert (ask.__name__, ask.__doc__) == ("ask", "Ask.")
        assert list(inspect.signature(ask).parameters) == ["question", "times"]
        async with app.primitives():
            assert await ask("x", times=2) == "xx"
            for _ in range(5):
                with pytest.raises(AnswerError):
                    await asyncio.to_thread(ask_plainly, "x")
            with pytest.raises(BreakerOpenError):
                await ask("x")

    async def test_a_fallback_answers_while_it_is_open(
        self, app: Headrace, breaker: CircuitBreaker
    ):
        async def remember(question: str) -> str:
            return f"as last time: {question}"

        @breaker(fallback=remember)
        async def ask(question: str) -> str:
            raise AnswerError(len(question) + 499)

        @breaker(fallback=lambda question: question.upper())
        def ask_plainly(question: str) -> str:
            return question

        async with app.primitives():
            for _ in range(5):
                with pytest.raises(AnswerError):  # a failure is not what a fallback is for
                    await ask("x")
            assert await ask("x") == "as last time: x"
            assert await asyncio.to_thread(ask_plainly, "x") == "X"

    async def test_the_open_breaker_of_something_else_has_no_fallback_here(
        self, app: Headrace, breaker: CircuitBreaker
    ):
        async def never(error: Exception) -> None:
            raise AssertionError from error

        @breaker(fallback=never)
        async def ask(error: Exception) -> None:
            raise error

        async with app.primitives():
            with pytest.raises(BreakerOpenError, match="other"):
                await ask(BreakerOpenError("other", timedelta(seconds=1)))

    def test_what_does_nothing_when_it_is_called_is_refused(self, breaker: CircuitBreaker):
        def numbers() -> Iterator[int]:
            yield 1

        async def async_numbers() -> AsyncIterator[int]:
            yield 1

        async def fallback() -> int:
            return 1

        for function in (numbers, async_numbers):
            with pytest.raises(DefinitionError, match="generator"):
                breaker(function)
        with pytest.raises(DefinitionError, match="functions"):
            breaker(int)
        with pytest.raises(DefinitionError, match="fallback"):
            breaker()  # type: ignore[call-overload]
        with pytest.raises(DefinitionError, match="plain"):
            breaker(fallback=fallback)(lambda: 1)  # type: ignore[arg-type]


class TestOptions:
    @pytest.mark.parametrize(
        "options",
        [
            {"name": ""},
            {"name": "two words"},
            {"name": "x" * 101},
            {"failures": 0},
            {"failures": 101},
            {"failures": 2.0},
            {"within": 0},
            {"open_for": 0.5},
            {"open_for": 3_601},
            {"open_for": "30s"},
            {"successes": 11},
            {"probe_timeout": timedelta(0)},
            {"counts": int},
            {"counts": 503},
            {"counts": (KeyError, 503)},
        ],
        ids=str,
    )
    def test_what_is_out_of_range_is_refused(self, options: dict[str, Any]):
        with pytest.raises(DefinitionError) as error:
            CircuitBreaker(**{"name": "openai", **options})
        assert error.value.code == "BREAKER_INVALID"
