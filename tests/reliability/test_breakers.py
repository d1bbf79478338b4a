"""How a breaker opens and closes, for all processes that share it."""

from __future__ import annotations

import asyncio

import pytest

from headrace import CircuitBreaker, Headrace
from headrace.settings import Settings, load_settings
from headrace.store.breakers import Key
from tests.proxy import proxy_to
from tests.reliability.breaker_kit import (
    AnswerError,
    changes,
    fail,
    half_open,
    is_turned_away,
    move,
    state,
    through,
    turned_away,
    turned_away_at,
    turned_away_in_task,
    version,
)
from tests.waiting import eventually, promptly


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
            await promptly(lambda: is_turned_away(breaker), within=5)

    async def test_one_call_is_tried_in_the_whole_fleet(
        self, app: Headrace, other: Headrace, breaker: CircuitBreaker
    ):
        async with app.primitives():
            await half_open(app, breaker)
            async with breaker:
                assert 0.5 <= await turned_away_at(other, CircuitBreaker("openai")) <= 20
            async with other.primitives(), CircuitBreaker("openai"):
                await turned_away_in_task(breaker)

    async def test_the_longer_a_call_is_tried_the_later_the_others_come_back(
        self, app: Headrace, other: Headrace, breaker: CircuitBreaker
    ):
        async with app.primitives():
            await half_open(app, breaker)
            async with breaker:
                await move(app, 12)
                assert 12 <= await turned_away_at(other, CircuitBreaker("openai")) <= 30
                await move(app, 14)
                assert await turned_away_at(other, CircuitBreaker("openai")) <= 8

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


class TestDatabase:
    async def test_behind_a_pooler_a_process_looks_each_second(self, app: Headrace, database: str):
        breaker = CircuitBreaker("openai")
        async with proxy_to(database, is_pooler=True) as proxy:
            behind = Headrace([], settings=settings_of(proxy.address))
            async with behind, behind.primitives():
                async with breaker:
                    pass
                async with app.primitives():
                    await fail(CircuitBreaker("openai"), 5)
                await eventually(lambda: is_turned_away(breaker), within=10)
                assert not behind.hub.is_listening

    async def test_while_it_is_away_what_was_closed_stays_closed(self, database: str):
        breaker = CircuitBreaker("openai")
        async with proxy_to(database) as proxy:
            app = Headrace([], settings=settings_of(proxy.address))
            async with app, app.primitives():
                async with breaker:
                    pass
                await eventually(lambda: app.hub.is_listening)
                proxy.refuse()
                proxy.cut()
                await eventually(lambda: not app.hub.is_listening)  # and what was known is old
                async with breaker:
                    pass
                await fail(breaker)  # it cannot be counted
                proxy.accept()

    async def test_while_it_is_away_what_was_open_stays_open(self, database: str):
        breaker = CircuitBreaker("openai")
        async with proxy_to(database) as proxy:
            app = Headrace([], settings=settings_of(proxy.address))
            async with app, app.primitives():
                await fail(breaker, 5)
                proxy.refuse()
                proxy.cut()
                assert await turned_away(breaker) <= 2
                proxy.accept()


def settings_of(address: str) -> Settings:
    return load_settings({"HEADRACE_ENV": "testing", "HEADRACE_DATABASE_URL": address})
