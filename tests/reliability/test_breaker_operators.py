"""What operators do to breakers and set for them, and how long it is kept."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

import pytest

from headrace import CircuitBreaker, Headrace
from headrace.errors import BreakerNotFoundError
from headrace.settings import load_settings
from headrace.store.breakers import Key, list_breakers, prune_breakers, set_breaker
from tests.reliability.breaker_kit import (
    changes,
    fail,
    is_let_through,
    is_turned_away,
    move,
    state,
    turned_away,
)
from tests.waiting import eventually


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
            await eventually(lambda: is_turned_away(breaker), within=5)
            await move(app, 86_400)
            assert 60 <= await turned_away(breaker) <= 66
            await self.set(app, "closed")
            await eventually(lambda: is_let_through(breaker), within=5)

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
