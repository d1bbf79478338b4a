"""What calls through a breaker get, in any process that shares it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any, Literal

import pytest

from headrace import CircuitBreaker, Headrace, PermanentError
from headrace.errors import BreakerNotFoundError, BreakerOpenError, DefinitionError
from headrace.reliability.breaker import Counts
from headrace.store.breakers import Key, list_breakers, look, prune_breakers, set_breaker
from headrace.store.clock import move_clock
from tests.waiting import eventually

SHARED = Key("openai", "")


class AnswerError(Exception):
    """An HTTP client's."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status_code = status


@pytest.fixture
async def app(database: str) -> AsyncIterator[Headrace]:
    async with Headrace([], database=database) as app:
        yield app


@pytest.fixture
async def other(database: str) -> AsyncIterator[Headrace]:
    """Another process, as far as the database can tell."""
    async with Headrace([], database=database) as app:
        yield app


@pytest.fixture
def breaker() -> CircuitBreaker:
    return CircuitBreaker("openai")


async def fail(breaker: CircuitBreaker, times: int = 1, status: int = 503) -> None:
    for _ in range(times):
        with pytest.raises(AnswerError):
            async with breaker:
                raise AnswerError(status)


async def move(app: Headrace, seconds: float) -> None:
    async with app.connection() as connection:
        await move_clock(connection, timedelta(seconds=seconds), keep_leases=True)


async def state(app: Headrace, key: Key = SHARED) -> str:
    async with app.connection() as connection:
        return (await look(connection, key)).state


async def changes(app: Headrace) -> list[tuple[Any, ...]]:
    async with app.connection() as connection:
        rows = await connection.fetch(
            "select from_state, to_state, why, probes from headrace.breaker_changes order by id"
        )
    return [tuple(row) for row in rows]


async def version(app: Headrace) -> tuple[str, str]:
    """What is another one whenever the row of a breaker was written."""
    async with app.connection() as connection:
        row = await connection.fetchrow(
            "select xmin::text, ctid::text from headrace.breakers where name = 'openai'"
        )
    assert row is not None
    return row["xmin"], row["ctid"]


async def turned_away(breaker: CircuitBreaker) -> float:
    """Seconds after which a call that is turned away comes back."""
    with pytest.raises(BreakerOpenError) as error:
        async with breaker:
            pytest.fail("it was let through")
    return error.value.retry_after.total_seconds()


async def half_open(app: Headrace, breaker: CircuitBreaker) -> None:
    await fail(breaker, 5)
    await move(app, 30)


class TestLife:
    async def test_five_failures_open_it_and_two_successes_close_it(
        self, app: Headrace, breaker: CircuitBreaker
    ):
        async with app.primitives():
            await fail(breaker, 4)
            assert await state(app) == "closed"
            await fail(breaker)
            assert await state(app) == "open"
            assert 20 < await turned_away(breaker) <= 33
            await move(app, 30)
            async with breaker:
                assert await state(app) == "half_open"
            async with breaker:
                assert await state(app) == "half_open"
            assert await state(app) == "closed"
        assert await changes(app) == [
            ("closed", "open", "5 failures within 60 s, the last of them AnswerError 503", 0),
            ("open", "half_open", "time to try a call", 0),
            ("half_open", "closed", "2 calls went well", 2),
        ]

    async def test_a_failed_probe_opens_it_again_for_as_long(
        self, app: Headrace, breaker: CircuitBreaker
    ):
        async with app.primitives():
            await half_open(app, breaker)
            async with breaker:
                pass
            await fail(breaker)
            assert await state(app) == "open"
            assert await turned_away(breaker) > 20
            await move(app, 30)
            async with breaker:  # the success before the failure is forgotten
                pass
            assert await state(app) == "half_open"
            assert (await changes(app))[-2][2:] == (
                "the call that was tried failed: AnswerError 503", 2
            )  # fmt: skip

    async def test_failures_that_lie_further_apart_do_not_open_it(
        self, app: Headrace, breaker: CircuitBreaker
    ):
        async with app.primitives():
            await fail(breaker, 4)
            await move(app, 61)
            await fail(breaker, 4)
            assert await state(app) == "closed"
            await fail(breaker)
            assert await state(app) == "open"

    async def test_a_call_through_a_closed_breaker_writes_nothing(
        self, app: Headrace, breaker: CircuitBreaker
    ):
        async with app.primitives():
            async with breaker:
                pass
            before = await version(app)  # the row is made at the first call
            for _ in range(100):
                async with breaker:
                    pass
            assert await version(app) == before

    async def test_calls_that_are_turned_away_write_nothing_and_prolong_nothing(
        self, app: Headrace, breaker: CircuitBreaker
    ):
        async with app.primitives():
            await fail(breaker, 5)
            before = await version(app)
            for _ in range(50):
                await turned_away(breaker)
            assert await version(app) == before
            await move(app, 30)
            async with breaker:
                pass

    async def test_what_began_before_it_opened_says_nothing_afterwards(
        self, app: Headrace, breaker: CircuitBreaker
    ):
        going, end = asyncio.Event(), asyncio.Event()

        async def late(error: Exception | None) -> None:
            async with breaker:
                going.set()
                await end.wait()
                if error is not None:
                    raise error

        async with app.primitives():
            async with asyncio.TaskGroup() as tasks:
                good = tasks.create_task(late(None))
                await going.wait()
                bad = asyncio.ensure_future(late(AnswerError(503)))
                await asyncio.sleep(0)
                await half_open(app, breaker)
                async with breaker:
                    pass
                end.set()
            with pytest.raises(AnswerError):
                await bad
            assert good.done()
            assert await state(app) == "half_open"

    async def test_it_is_as_it_was_after_a_restart(self, app: Headrace, database: str):
        async with app.primitives():
            await fail(CircuitBreaker("openai"), 5)
        await app.close()
        async with Headrace([], database=database) as again, again.primitives():
            assert await turned_away(CircuitBreaker("openai")) > 20

    async def test_each_tenant_may_have_its_own(self, app: Headrace):
        breaker = CircuitBreaker("openai", per_tenant=True)
        async with app.primitives(tenant="acme"):
            await fail(breaker, 5)
            await turned_away(breaker)
        async with app.primitives(tenant="globex"), breaker:
            pass
        assert await state(app, Key("openai", "acme")) == "open"
        assert await state(app, Key("openai", "globex")) == "closed"


class TestFleet:
    async def test_others_hear_of_it_at_once(
        self, app: Headrace, other: Headrace, breaker: CircuitBreaker
    ):
        async with other.primitives():
            async with breaker:
                pass
            await eventually(lambda: other.hub.is_listening)
            async with breaker:  # what it knows now is kept for a second
                pass
            async with app.primitives():
                await fail(CircuitBreaker("openai"), 5)
            await eventually(lambda: _is_turned_away(breaker), within=5)

    async def test_one_call_is_tried_in_the_whole_fleet(
        self, app: Headrace, other: Headrace, breaker: CircuitBreaker
    ):
        async with app.primitives():
            await half_open(app, breaker)
            async with breaker:
                assert 0.5 <= await _turned_away_at(other, CircuitBreaker("openai")) <= 5
            async with other.primitives(), CircuitBreaker("openai"):
                await turned_away_in_task(breaker)

    async def test_the_longer_a_call_is_tried_the_later_the_others_come_back(
        self, app: Headrace, other: Headrace, breaker: CircuitBreaker
    ):
        async with app.primitives():
            await half_open(app, breaker)
            async with breaker:
                await move(app, 12)
                assert 12 <= await _turned_away_at(other, CircuitBreaker("openai")) <= 30
                await move(app, 14)
                assert await _turned_away_at(other, CircuitBreaker("openai")) <= 8

    async def test_a_call_that_takes_too_long_keeps_nobody_out_and_still_counts(
        self, app: Headrace, other: Headrace, breaker: CircuitBreaker
    ):
        async with app.primitives():
            await half_open(app, breaker)
            async with breaker:
                await move(app, 31)
                async with other.primitives(), CircuitBreaker("openai"):
                    pass
                assert await state(app) == "half_open"
            assert await state(app) == "closed"

    async def test_what_a_dead_worker_tried_is_over_with_it(
        self, app: Headrace, breaker: CircuitBreaker
    ):
        async with app.primitives():
            await half_open(app, breaker)
            async with breaker:
                async with app.connection() as connection:
                    await connection.execute("update headrace.breakers set probe_worker = 77")
                async with app.primitives():
                    await asyncio.create_task(through(CircuitBreaker("openai")))


async def through(breaker: CircuitBreaker) -> None:
    async with breaker:
        pass


async def turned_away_in_task(breaker: CircuitBreaker) -> float:
    return await asyncio.create_task(turned_away(breaker))


async def _turned_away_at(app: Headrace, breaker: CircuitBreaker) -> float:
    async with app.primitives():
        return await turned_away(breaker)


async def _is_turned_away(breaker: CircuitBreaker) -> bool:
    try:
        async with breaker:
            pass
    except BreakerOpenError:
        return True
    return False


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


class TestOperators:
    async def set(
        self,
        app: Headrace,
        to: Literal["open", "closed"],
        *,
        seconds: float | None = None,
        tenant: str | None = None,
    ) -> None:
        open_for = None if seconds is None else timedelta(seconds=seconds)
        async with app.connection() as connection:
            await set_breaker(
                connection, "openai", to, tenant=tenant, open_for=open_for, why="drill",
                actor="cli:ann",
            )  # fmt: skip

    async def test_what_they_open_stays_open_until_they_close_it(
        self, app: Headrace, breaker: CircuitBreaker
    ):
        async with app.primitives():
            async with breaker:
                pass
            await self.set(app, "open")
            await eventually(lambda: _is_turned_away(breaker), within=5)
            await move(app, 86_400)
            assert 60 <= await turned_away(breaker) <= 66
            await self.set(app, "closed")
            await eventually(lambda: _is_let_through(breaker), within=5)

    async def test_what_they_open_for_a_time_is_tried_then(
        self, app: Headrace, breaker: CircuitBreaker
    ):
        async with app.primitives():
            await fail(breaker, 5)
            await self.set(app, "open", seconds=600)
            assert await turned_away(breaker) > 500
            await move(app, 600)
            async with breaker:
                assert await state(app) == "half_open"

    async def test_closing_it_forgets_the_failures(self, app: Headrace, breaker: CircuitBreaker):
        async with app.primitives():
            await fail(breaker, 4)
            await self.set(app, "closed")
            await fail(CircuitBreaker("openai"), 4)
            assert await state(app) == "closed"

    async def test_one_tenant_or_all_of_them(self, app: Headrace):
        breaker = CircuitBreaker("openai", per_tenant=True)
        for tenant in ("acme", "globex"):
            async with app.primitives(tenant=tenant), breaker:
                pass
        await self.set(app, "open", tenant="acme")
        assert await state(app, Key("openai", "acme")) == "open"
        assert await state(app, Key("openai", "globex")) == "closed"
        await self.set(app, "open")
        assert await state(app, Key("openai", "globex")) == "open"

    async def test_a_name_that_no_call_has_used_is_refused(self, app: Headrace):
        async with app.primitives(), CircuitBreaker("openai"):
            pass
        async with app.connection() as connection:
            with pytest.raises(BreakerNotFoundError, match="did you mean 'openai'"):
                await set_breaker(
                    connection, "opnai", "open", tenant=None, why="drill", actor="cli:ann"
                )


async def _is_let_through(breaker: CircuitBreaker) -> bool:
    return not await _is_turned_away(breaker)


class TestRetention:
    async def test_old_changes_go_and_what_is_not_closed_stays(self, app: Headrace):
        async with app.primitives():
            await fail(CircuitBreaker("openai"), 5)
            async with CircuitBreaker("mail"):
                pass
            await move(app, 91 * 86_400)
            async with app.connection() as connection:
                assert await prune_breakers(connection) == 1
                assert [row.name for row in await list_breakers(connection)] == ["openai"]
            assert await changes(app) == []
            async with CircuitBreaker("mail"):
                pass

    async def test_changes_are_evidence(self, app: Headrace):
        async with app.primitives():
            await fail(CircuitBreaker("openai"), 5)
        async with app.connection() as connection:
            for statement in ("update headrace.breaker_changes set why = ''",
                              "delete from headrace.breaker_changes"):  # fmt: skip
                with pytest.raises(Exception, match="evidence"):
                    await connection.execute(statement)
