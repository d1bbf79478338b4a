"""`headrace queues limit`, `headrace tenants`, and keys of jobs that are submitted."""

from __future__ import annotations

from headrace.cli.exits import ExitCode
from tests.cli.conftest import Headrace

SUBMIT = ("submit", "orders", "--app", "shop:app", "--input", '{"item": "lamp"}')


class TestLimits:
    async def test_a_queue_gets_one_and_loses_it(self, headrace: Headrace) -> None:
        await headrace(*SUBMIT)
        set_now = await headrace("queues", "limit", "default", "3")
        assert set_now.out == "default: 3 at once, any number before\n"
        [queue] = (await headrace("queues", "list", "--json")).json()
        assert queue["concurrency"] == 3
        gone = await headrace("queues", "limit", "default", "none")
        assert gone.out == "default: any number at once, 3 before\n"

    async def test_a_tenant_gets_one(self, headrace: Headrace) -> None:
        await headrace("tenants", "limit", "acme", "2", "--reason", "too loud")
        [tenant] = (await headrace("tenants", "list", "--json")).json()
        assert (tenant["tenant"], tenant["concurrency"]) == ("acme", 2)
        assert tenant["reason"] == "too loud"

    async def test_what_is_no_limit_is_refused(self, headrace: Headrace) -> None:
        refused = await headrace("queues", "limit", "default", "0")
        assert refused.code == ExitCode.INVALID
        assert "give a number from 1 on, or none" in refused.err


class TestKeys:
    async def test_a_job_shows_its_keys(self, headrace: Headrace) -> None:
        keys = ["--ordering-key", "a", "--concurrency-key", "b"]
        submitted = await headrace(*SUBMIT, *keys)
        shown = (await headrace("jobs", "show", submitted.out.strip(), "--json")).json()["job"]
        assert (shown["ordering_key"], shown["concurrency_key"]) == ("a", "b")
