"""Calls through a breaker, and looks at its row."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, Final

import pytest

from headrace import CircuitBreaker, Headrace
from headrace.errors import BreakerOpenError
from headrace.store.breakers import Key, look
from headrace.store.clock import move_clock

SHARED: Final = Key("openai", "")


class AnswerError(Exception):
    """An HTTP client's."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status_code = status


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


async def through(breaker: CircuitBreaker) -> None:
    async with breaker:
        pass


async def turned_away_in_task(breaker: CircuitBreaker) -> float:
    return await asyncio.create_task(turned_away(breaker))


async def turned_away_at(app: Headrace, breaker: CircuitBreaker) -> float:
    async with app.primitives():
        return await turned_away(breaker)


async def is_turned_away(breaker: CircuitBreaker) -> bool:
    try:
        async with breaker:
            pass
    except BreakerOpenError:
        return True
    return False


async def is_let_through(breaker: CircuitBreaker) -> bool:
    return not await is_turned_away(breaker)
