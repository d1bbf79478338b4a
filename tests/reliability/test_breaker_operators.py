"""What operators do to breakers and set for them, and how long it is kept."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

import pytest

from headrace import CircuitBreaker, Headrace
from headrace.errors import BreakerNotFoundError
from headrace.reliability.breakers import change_breaker
from headrace.settings import load_settings
from headrace.store.breakers import Key, list_breakers, prune_breakers, set_breaker
from headrace.store.signals import read_signals
from headrace.telemetry.breaker_events import BreakerClosed, BreakerHalfOpen, BreakerOpened
from headrace.telemetry.events import Event, add_sink
from tests.reliability.breaker_kit import (
    changes,
    fail,
    half_open,
    is_let_through,
    is_turned_away,
    move,
    state,
    turned_away,
)
from tests.waiting import promptly


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
            await promptly(lambda: is_turned_away(breaker), within=5)
            await move(app, 86_400)
            assert 60 <= await turned_away(breaker) <= 66
            await self.set(app, "closed")
            await promptly(lambda: is_let_through(breaker), within=5)

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


class TestSettings:
    async def test_what_is_left_out_is_as_the_settings_have_it(self, database: str):
        given = {
            "HEADRACE_DATABASE_URL": database,
            "HEADRACE_ENV": "testing",
            "HEADRACE_BREAKER_FAILURES": "2",
            "HEADRACE_BREAKER_WINDOW_S": "10",
            "HEADRACE_BREAKER_OPEN_S": "300",
            "HEADRACE_BREAKER_SUCCESSES": "1",
        }
        async with Headrace([], settings=load_settings(given)) as app, app.primitives():
            breaker, own = CircuitBreaker("openai"), CircuitBreaker("mail", failures=3)
            await fail(breaker)
            await move(app, 11)
            await fail(breaker)
            assert await state(app) == "closed"
            await fail(breaker)
            assert await turned_away(breaker) > 250
            await move(app, 300)
            async with breaker:
                pass
            assert await state(app) == "closed"
            await fail(own, 2)
            assert await state(app, Key("mail", "")) == "closed"
            await fail(own)
            assert await turned_away(own) > 250


class TestTelling:
    async def test_each_change_is_told_once(self, app: Headrace, breaker: CircuitBreaker):
        told: list[Event] = []
        remove = add_sink(told.append, kinds=(BreakerOpened, BreakerHalfOpen, BreakerClosed))
        try:
            async with app.primitives():
                await half_open(app, breaker)
                async with breaker:
                    pass
                async with breaker:
                    pass
                async with app.connection() as connection:
                    await change_breaker(
                        connection, "openai", "open", reason="drill", actor="cli:ann"
                    )
        finally:
            remove()
        kinds = [type(event) for event in told]
        assert kinds == [BreakerOpened, BreakerHalfOpen, BreakerClosed, BreakerOpened]
        opened, _, _, tripped = told
        assert isinstance(opened, BreakerOpened)
        assert isinstance(tripped, BreakerOpened)
        assert (opened.dependency, opened.tenant) == ("openai", None)
        assert opened.reason == "5 failures within 60 s, the last of them AnswerError 503"
        assert opened.retry_in_s is not None
        assert 20 < opened.retry_in_s <= 30
        assert (tripped.reason, tripped.retry_in_s) == ("drill", None)

    async def test_metrics_have_the_states_by_name(self, app: Headrace, breaker: CircuitBreaker):
        each = CircuitBreaker("mail", per_tenant=True)
        async with app.primitives(tenant="acme"):
            await fail(breaker, 5)
            await fail(each, 5)
        async with app.primitives(tenant="globex"), each:
            pass
        async with app.connection() as connection:
            signals = await read_signals(connection)
        assert signals.breakers == {
            ("mail", "closed"): 1,
            ("mail", "open"): 1,
            ("mail", "half_open"): 0,
            ("openai", "closed"): 0,
            ("openai", "open"): 1,
            ("openai", "half_open"): 0,
        }
