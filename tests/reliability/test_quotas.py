"""Numbers that operators set in place of the code's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from headrace import Headrace
from headrace.errors import OptionError
from headrace.settings import load_settings


@pytest.fixture
async def app(database: str) -> AsyncIterator[Headrace]:
    settings = load_settings({"HEADRACE_ENV": "testing", "HEADRACE_DATABASE_URL": database})
    async with Headrace([], settings=settings) as app:
        yield app


class TestLimits:
    @pytest.mark.parametrize(
        ("given", "says"),
        [
            ({}, "requests: no number is given: give one, or clear the limit"),
            ({"tokens": 0}, "tokens: it is 0; give a number above 0, 1,000,000,000,000 at most"),
            ({"per_s": 90_000}, "per_s: it is 90000; give a number above 0, 86,400 at most"),
            ({"burst_s": float("nan")}, "burst_s: it is nan; give a number above 0"),
            ({"concurrent": 0}, "concurrent: it is 0; give 1 to 10,000"),
        ],
    )
    async def test_a_number_out_of_its_range_is_refused_and_nothing_is_set(
        self, app: Headrace, given: dict[str, Any], says: str
    ):
        with pytest.raises(OptionError) as refused:
            await app.quotas.set_limit("openai", **given)
        assert says in str(refused.value)
        assert await app.quotas.list_limits() == []

    async def test_what_is_left_out_is_the_codes_also_where_it_was_set_before(self, app: Headrace):
        await app.quotas.set_limit("openai", requests=5, tokens=100)
        await app.quotas.set_limit("openai", requests=6, actor="ann", reason="less")
        [limit] = await app.quotas.list_limits()
        assert (limit.requests, limit.tokens, limit.set_by, limit.reason) == (
            6, None, "ann", "less",
        )  # fmt: skip

    async def test_what_was_never_set_cannot_be_cleared(self, app: Headrace):
        assert not await app.quotas.clear_limit("openai")
        await app.quotas.set_limit("openai", requests=5)
        assert await app.quotas.clear_limit("openai")


class TestBudgets:
    @pytest.mark.parametrize(
        ("given", "says"),
        [
            ({}, "tokens: no amount is given: give one, or clear the budget"),
            ({"tokens": -1}, "tokens: it is -1; give 0 to 1,000,000,000,000,000"),
            ({"money": "a lot"}, "money: it is 'a lot'; give a number"),
            ({"money": "NaN"}, "money: it is NaN; give 0 to"),
        ],
    )
    async def test_an_amount_out_of_its_range_is_refused_and_nothing_is_set(
        self, app: Headrace, given: dict[str, Any], says: str
    ):
        with pytest.raises(OptionError) as refused:
            await app.quotas.set_budget("research", **given)
        assert says in str(refused.value)
        assert await app.quotas.list_budgets() == []

    async def test_it_is_shown_before_anything_is_spent_and_cleared(self, app: Headrace):
        await app.quotas.set_budget("research", tenant="acme", tokens=7, money="0.10")
        [budget] = await app.quotas.list_budgets()
        assert (budget.tenant, budget.tokens_limit, str(budget.money_limit)) == ("acme", 7, "0.10")
        assert await app.quotas.clear_budget("research", tenant="acme")
        assert not await app.quotas.clear_budget("research", tenant="acme")
