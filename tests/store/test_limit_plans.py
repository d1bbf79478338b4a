"""The statements of limits and budgets go by their keys, whatever else is there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import TypeAlias

import asyncpg
import pytest

from tests.store.plans import explain

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
FILL = """\
insert into headrace.rate_limits (
    name, tenant, requests_left, tokens_left, at, line_requests_at, line_tokens_at, requests, per_s,
    burst_s
)
select 'limit ' || n, 'tenant ' || n % 100, 5, 5, now(), now(), now(), 5, 1, 1
from generate_series(1, 5000) as n;
insert into headrace.rate_limit_settings (name, tenant, requests, set_by)
select name, tenant, 7, 'ann' from headrace.rate_limits;
insert into headrace.rate_slots (name, tenant, slot, expires_at)
select name, tenant, 1, now() + interval '1 hour' from headrace.rate_limits;
insert into headrace.budgets (name, tenant, per, key, starts_at)
select 'budget ' || n, 'tenant ' || n % 100, 'job', 'job ' || n, now()
from generate_series(1, 5000) as n;
insert into headrace.budget_settings (name, tenant, tokens, set_by)
select name, tenant, 7, 'ann' from headrace.budgets;
analyze headrace.rate_limits, headrace.rate_limit_settings, headrace.rate_slots,
    headrace.budgets, headrace.budget_settings;
"""


@pytest.fixture
async def connection(database: str) -> AsyncIterator[Connection]:
    """To a database of thousands of limits and budgets."""
    connection = await asyncpg.connect(database)
    await connection.execute(FILL)
    yield connection
    await connection.close()


class TestPlans:
    async def test_calls_take_from_one_bucket(self, connection: Connection):
        found = await explain(
            connection, "rate_limits.reserve", "limit 7", "tenant 7", [1.0] * 20, [5.0] * 20,
            [False] * 20, 5.0, None, 1.0, 1.0, None, 0.0, 0.0, 1.0, 0.5,
        )  # fmt: skip
        assert found["rate_limits"].ways == {"rate_limits_pkey"}
        assert found["rate_limits"].rows <= 2  # read, and written
        assert found["rate_limit_settings"].ways == {"rate_limit_settings_pkey"}
        assert found["rate_limit_settings"].rows <= 2

    async def test_a_slot_is_looked_for_among_those_of_its_limit(self, connection: Connection):
        found = await explain(
            connection,
            "rate_limits.take_slot",
            "limit 7",
            "tenant 7",
            10,
            None,
            None,
            "1 minute",
            7,
        )
        assert found["rate_slots"].ways == {"rate_slots_pkey"}
        assert found["rate_slots"].rows <= 10

    async def test_a_call_spends_of_one_window(self, connection: Connection):
        found = await explain(
            connection, "budgets.spend", "budget 7", "tenant 7", "day", None, Decimal(1),
            Decimal(1), None, None,
        )  # fmt: skip
        assert found["budgets"].ways == {"budgets_pkey"}
        assert found["budgets"].rows <= 2
        assert found["budget_settings"].ways == {"budget_settings_pkey"}
