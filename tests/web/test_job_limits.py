"""How many jobs run at once, as operators set it."""

from collections.abc import AsyncIterator

import pytest

from headrace.telemetry.gate_events import QueueLimited, TenantLimited
from tests.listening import listening
from tests.web.administering import actor, audited, call, serve_operators
from tests.web.serving import Api


@pytest.fixture
async def api(database_server: str) -> AsyncIterator[Api]:
    """The API with its routes for operators."""
    async with serve_operators(database_server) as running:
        yield running


class TestQueues:
    async def test_a_limit_is_set_shown_and_taken_away(self, api: Api):
        with listening() as told:
            set_now = await call(api, "POST", "/queues/default/limit", concurrency=2)
        assert set_now == {"name": "default", "concurrency": 2, "before": None}
        [event] = told.of(QueueLimited)
        assert (event.queue, event.concurrency, event.actor) == ("default", 2, await actor(api))
        [queue] = [one for one in await call(api, "GET", "/queues") if one["name"] == "default"]
        assert queue["concurrency"] == 2
        gone = await call(api, "POST", "/queues/default/limit", concurrency=None)
        assert gone == {"name": "default", "concurrency": None, "before": 2}
        assert ("queue.limit", "default") in await audited(api)

    async def test_what_is_no_limit_is_refused(self, api: Api):
        for most in (0, -1, 10_001, "2", 1.5, True):
            refused = await call(api, "POST", "/queues/default/limit", 422, concurrency=most)
            assert "concurrency" in str(refused["errors"][0]), most

    async def test_a_limit_of_a_queue_that_is_not_there_is_refused(self, api: Api):
        await call(api, "POST", "/queues/nowhere/limit", 404, concurrency=1)


class TestTenants:
    async def test_a_limit_is_set_listed_and_taken_away(self, api: Api):
        with listening() as told:
            set_now = await call(api, "POST", "/tenants/limit", tenant="acme", concurrency=1)
        assert set_now == {"tenant": "acme", "concurrency": 1, "before": None}
        assert [event.tenant for event in told.of(TenantLimited)] == ["acme"]
        [listed] = await call(api, "GET", "/tenants")
        assert (listed["tenant"], listed["concurrency"], listed["running"]) == ("acme", 1, 0)
        await call(api, "POST", "/tenants/limit", tenant="acme", concurrency=None)
        assert await call(api, "GET", "/tenants") == []
        assert ("tenant.limit", "acme") in await audited(api)
