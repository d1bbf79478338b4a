"""/v1/admin/quotas and /v1/admin/budgets."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from headrace import Budget, RateLimit
from tests.web.administering import audited, call, serve_operators
from tests.web.serving import Api


@pytest.fixture
async def api(database_server: str) -> AsyncIterator[Api]:
    """The API with its routes for operators."""
    async with serve_operators(database_server) as running:
        yield running


class TestQuotas:
    async def test_one_is_listed_set_and_left_to_the_code_again(self, api: Api):
        async with api.engine.app.primitives(), RateLimit("openai", requests=60, tokens=100):
            pass
        [quota] = await call(api, "GET", "/quotas")
        assert (quota["name"], quota["tenant"], quota["requests"], quota["per_s"]) == (
            "openai", "", 60, 60,
        )  # fmt: skip
        assert quota["set_by"] is None
        done = await call(api, "POST", "/quotas", name="openai", requests=5, concurrent=2)
        assert (done["requests"], done["tokens"], done["concurrent"]) == (5, None, 2)
        [quota] = await call(api, "GET", "/quotas")
        assert (quota["requests"], quota["tokens"], quota["reason"]) == (5, 100, "ticket 4711")
        await call(api, "POST", "/quotas", 422, name="openai", requests=0)
        await call(api, "POST", "/quotas", 422, name="openai")
        cleared = await call(api, "POST", "/quotas/clear", name="openai")
        assert cleared == {"name": "openai", "tenant": "", "was_set": True}
        assert not (await call(api, "POST", "/quotas/clear", name="openai"))["was_set"]
        assert await audited(api) == [
            ("limit.list", "all"),
            ("limit.set", "openai"),
            ("limit.list", "all"),
            ("limit.clear", "openai"),
            ("limit.clear", "openai"),
        ]


class TestBudgets:
    async def test_one_is_listed_set_and_left_to_the_code_again(self, api: Api):
        research = Budget("research", tokens=1_000, money="2.50")
        spent = research.reserve(tokens=300, money="0.10")
        async with api.engine.app.primitives(tenant="acme"), spent:
            pass
        [budget] = await call(api, "GET", "/budgets")
        assert (budget["tenant"], budget["tokens"], budget["tokens_limit"]) == ("acme", 300, 1_000)
        assert (budget["money"], budget["money_limit"], budget["per"]) == ("0.10", "2.50", "day")
        given = {"name": "research", "tenant": "acme", "money": "7.25"}
        assert await call(api, "POST", "/budgets", **given) == {**given, "tokens": None}
        [budget] = await call(api, "GET", "/budgets")
        assert (budget["tokens_limit"], budget["money_limit"]) == (1_000, "7.25")
        await call(api, "POST", "/budgets", 422, name="research", money="a lot")
        await call(api, "POST", "/budgets", 422, name="research")
        cleared = await call(api, "POST", "/budgets/clear", name="research", tenant="acme")
        assert cleared["was_set"]
        assert [action for action, _ in await audited(api)] == [
            "budget.list", "budget.set", "budget.list", "budget.clear",
        ]  # fmt: skip
