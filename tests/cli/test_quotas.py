"""`headrace limits` and `headrace budgets`."""

from __future__ import annotations

from decimal import Decimal

from headrace.store.budgets import Account, Amount, spend
from headrace.store.pool import connect
from headrace.store.rate_limits import BucketKey, Numbers, Wish, reserve
from tests.cli.conftest import Headrace

OPENAI = BucketKey("openai", "")
CODE = Numbers(60, 1_000, 60, 60)


class TestLimits:
    async def test_one_is_set_shown_and_left_to_the_code_again(
        self, headrace: Headrace, database: str
    ):
        connection = await connect(database)
        await reserve(connection, OPENAI, CODE, [Wish(1, 400)])
        await connection.close()
        done = await headrace(
            "limits", "set", "openai", "--requests", "30", "--concurrent", "4",
            "--reason", "ticket 4711",
        )  # fmt: skip
        assert done.out.strip() == "openai is set"
        [limit] = (await headrace("limits", "list", "--json")).json()
        assert (limit["requests"], limit["tokens"], limit["concurrent"]) == (30, 1_000, 4)
        assert limit["requests_left"] == 30
        assert 600 <= limit["tokens_left"] < 700
        assert limit["set_by"].startswith("cli")
        shown = (await headrace("limits", "list")).out
        assert "30 in 60 s" in shown
        assert "0 of 4" in shown
        assert "ticket 4711" in shown
        cleared = await headrace("limits", "set", "openai", "--clear")
        assert cleared.out.strip() == "openai has the code's numbers"

    async def test_what_makes_no_sense_is_refused(self, headrace: Headrace):
        refused = await headrace("limits", "set", "openai", "--requests", "0")
        assert refused.code == 20
        assert "requests: it is 0; give a number above 0" in refused.err

    async def test_its_times_have_units_or_are_seconds(self, headrace: Headrace):
        given = ("--requests", "30", "--per", "1m", "--burst", "5")
        assert (await headrace("limits", "set", "openai", *given)).code == 0
        [limit] = (await headrace("limits", "list", "--json")).json()
        assert (limit["per_s"], limit["burst_s"]) == (60, 5)
        refused = await headrace("limits", "set", "openai", "--per", "soon")
        assert (refused.code, "--per: 'soon'" in refused.err) == (20, True)


class TestBudgets:
    async def test_one_is_set_for_a_tenant_shown_and_left_to_the_code_again(
        self, headrace: Headrace, database: str
    ):
        connection = await connect(database)
        account = Account("research", "acme", "day", None)
        await spend(connection, account, Decimal(300), Decimal(0), Amount(Decimal(1_000), None))
        await connection.close()
        done = await headrace(
            "budgets", "set", "research", "--tenant", "acme", "--tokens", "5000",
            "--money", "20.50",
        )  # fmt: skip
        assert done.out.strip() == "research is set"
        [budget] = (await headrace("budgets", "list", "--json")).json()
        assert (budget["tokens"], budget["tokens_limit"], budget["money_limit"]) == (
            "300", "5000", "20.50",
        )  # fmt: skip
