"""`headrace breakers`, and what is left of it in the audit."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest

from headrace import CircuitBreaker
from headrace import Headrace as App
from headrace.store.audit import list_actions
from tests.cli.conftest import Headrace

ENV = {"HEADRACE_ENV": "testing"}


@pytest.fixture
async def used(database: str) -> AsyncIterator[App]:
    """An app whose breaker `openai` each of two tenants has used."""
    breaker = CircuitBreaker("openai", per_tenant=True)
    async with App([], database=database) as app:
        for tenant in ("acme", "globex"):
            async with app.primitives(tenant=tenant):
                for _ in range(5):
                    with contextlib.suppress(ConnectionRefusedError):
                        async with breaker:
                            if tenant == "acme":
                                raise ConnectionRefusedError
        yield app


@pytest.mark.usefixtures("used")
class TestBreakers:
    async def test_they_are_listed_the_open_ones_first(self, headrace: Headrace) -> None:
        listed = (await headrace("breakers", "list", "--json", **ENV)).json()
        assert [(one["name"], one["tenant"], one["state"]) for one in listed] == [
            ("openai", "acme", "open"),
            ("openai", "globex", "closed"),
        ]
        assert listed[0]["why"].endswith("the last of them ConnectionRefusedError")

    async def test_they_are_opened_and_closed_and_that_is_kept(
        self, headrace: Headrace, used: App
    ) -> None:
        tripped = await headrace("breakers", "trip", "openai", "--reason", "drill", **ENV)
        assert tripped.out.splitlines() == [
            "openai of acme is open until it is reset; it was open",
            "openai of globex is open until it is reset; it was closed",
        ]
        mine = ("openai", "--tenant", "acme")
        reset = await headrace("breakers", "reset", *mine, **ENV)
        assert reset.out.strip() == "openai of acme is closed; it was open"
        timed = await headrace("breakers", "trip", *mine, "--for", "600", **ENV)
        assert timed.out.strip() == "openai of acme is open for 600 s; it was closed"
        async with used.connection() as connection:
            done = await list_actions(connection)
            said = await connection.fetch(
                "select actor from headrace.breaker_changes where why = 'drill'"
            )
        assert [(one.action, one.target, one.reason) for one in done] == [
            ("breaker.trip", "openai of acme", None),
            ("breaker.reset", "openai of acme", None),
            ("breaker.trip", "openai", "drill"),
        ]
        assert done[1].before == {"acme": "open"}
        assert done[1].after == {"acme": "closed"}
        assert [row["actor"].partition(":")[0] for row in said] == ["cli", "cli"]

    async def test_a_name_that_no_call_used_is_refused(self, headrace: Headrace) -> None:
        refused = await headrace("breakers", "trip", "opnai", **ENV)
        assert (refused.code, "did you mean 'openai'" in refused.err) == (22, True)

    async def test_where_no_name_is_near_the_way_to_them_is_told(self, headrace: Headrace) -> None:
        refused = await headrace("breakers", "reset", "bank", **ENV)
        assert (refused.code, "`headrace breakers list` shows" in refused.err) == (22, True)

    async def test_a_time_has_a_unit_or_is_seconds(self, headrace: Headrace) -> None:
        mine = ("openai", "--tenant", "acme")
        timed = await headrace("breakers", "trip", *mine, "--for", "10m", **ENV)
        assert timed.out.strip() == "openai of acme is open for 600 s; it was open"

    @pytest.mark.parametrize("time", ["0", "2d", "soon"])
    async def test_a_time_that_cannot_be_is_refused(self, headrace: Headrace, time: str) -> None:
        refused = await headrace("breakers", "trip", "openai", "--for", time, **ENV)
        assert (refused.code, f"--for: '{time}'" in refused.err) == (20, True)
