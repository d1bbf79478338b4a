"""Limits of tenants, shared by all processes through the database."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from headrace import Pipeline
from headrace.settings import Settings
from headrace.store.rates import set_limit
from headrace.testing import Engine
from headrace.web.auth.identity import Scope
from headrace.web.problems import ProblemError
from headrace.web.rates import TenantRates
from tests.web.pipes import PIPELINES, double
from tests.web.serving import SETTINGS, Api, serve, who

costly = Pipeline("costly", input=int, output=int, costly=True)


@costly.step
async def spends(number: int) -> int:
    return number


MINUTE = timedelta(minutes=1)


class Clock:
    """That of a process."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def api(database_server: str) -> AsyncIterator[Api]:
    settings = SETTINGS.model_copy(update={"rate_tenant_writes": 3, "rate_tenant_reads": 5})
    engine = Engine(PIPELINES, server=database_server, settings=settings)
    async with engine, serve(engine) as running:
        yield running


@pytest.fixture
async def engine(database_server: str) -> AsyncIterator[Engine]:
    async with Engine([double], server=database_server) as made:
        yield made


async def passes(rates: TenantRates, requests: int, tenant: str = "acme") -> int:
    """How many of so many requests at once are let through."""
    spent = (rates.spend(tenant, "writes") for _ in range(requests))
    outcomes = await asyncio.gather(*spent, return_exceptions=True)
    for outcome in outcomes:
        assert outcome is None or isinstance(outcome, ProblemError)
    return outcomes.count(None)


class TestRequests:
    """A9: a tenant's limit is its own."""

    async def test_a_tenant_is_refused_beyond_its_limit_and_others_are_not(self, api: Api):
        body = {"pipeline": "double", "payload": 1}
        ann, bob = await api.client(), await api.client(who("acme", "bob"))
        statuses = [(await ann.post("/v1/jobs", json=body)).status_code for _ in range(2)]
        statuses += [(await bob.post("/v1/jobs", json=body)).status_code for _ in range(2)]
        assert statuses == [202, 202, 202, 429]
        refused = await ann.delete("/v1/jobs/0192f1e2-1234-7abc-8def-001122334455")
        assert (refused.status_code, refused.json()["code"]) == (429, "RATE_LIMITED")
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        assert refused.headers["RateLimit-Limit"] == "3"
        assert refused.headers["RateLimit-Remaining"] == "0"
        assert (await ann.get("/v1/jobs")).status_code == 200
        other = await api.client(who("globex", "ann"))
        assert (await other.post("/v1/jobs", json=body)).status_code == 202

    async def test_what_is_refused_for_its_scope_is_not_counted(self, api: Api):
        writer = await api.client(who("acme", "ann", Scope.JOBS_WRITE))
        for _ in range(6):
            assert (await writer.get("/v1/jobs")).status_code == 403
        reader = await api.client()
        statuses = [(await reader.get("/v1/queues")).status_code for _ in range(6)]
        assert statuses == [200] * 5 + [429]


class TestCostly:
    async def test_submissions_to_a_costly_pipeline_have_a_limit_of_their_own(
        self, database_server: str
    ):
        settings = SETTINGS.model_copy(update={"rate_tenant_costly": 2})
        engine = Engine([double, costly], server=database_server, settings=settings)
        async with engine, serve(engine) as api:
            ann, bob = [await api.client(who("acme", name)) for name in ("ann", "bob")]
            body = {"pipeline": "costly", "payload": 1}
            answers = [await one.post("/v1/jobs", json=body) for one in (ann, bob, ann)]
            assert [answer.status_code for answer in answers] == [202, 202, 429]
            assert "costly" in answers[2].json()["detail"]
            cheap = await ann.post("/v1/jobs", json={**body, "pipeline": "double"})
            assert cheap.status_code == 202
            other = await api.client(who("globex", "ann"))
            assert (await other.post("/v1/jobs", json=body)).status_code == 202


class TestCounting:
    async def test_processes_share_a_limit_and_never_exceed_it(self, engine: Engine):
        first, second = (TenantRates(engine.app, writes=100, reads=0) for _ in range(2))
        assert await passes(first, 60) == 60
        assert await passes(second, 60) == 40
        assert await passes(first, 10) == 0

    async def test_a_portion_is_lost_at_most_for_each_process(self, engine: Engine):
        idle, busy = (TenantRates(engine.app, writes=100, reads=0) for _ in range(2))
        assert await passes(idle, 1) == 1
        assert await passes(busy, 100) == 95
        assert await passes(idle, 100) == 4

    async def test_the_next_minute_has_permits_again(self, engine: Engine):
        clock = Clock()
        rates = TenantRates(engine.app, writes=3, reads=0, clock=clock)
        assert await passes(rates, 5) == 3
        await engine.move_clock(MINUTE)
        assert await passes(rates, 1) == 0  # the process has not heard of it
        clock.now += 60
        assert await passes(rates, 5) == 3

    async def test_permits_that_were_not_used_do_not_last(self, engine: Engine):
        clock = Clock()
        rates = TenantRates(engine.app, writes=100, reads=0, clock=clock)
        assert await passes(rates, 1) == 1
        clock.now += 60
        await engine.move_clock(MINUTE)
        assert await passes(rates, 200) == 100

    async def test_a_tenant_can_have_a_limit_of_its_own(self, engine: Engine):
        rates = TenantRates(engine.app, writes=3, reads=0)
        async with engine.app.connection() as connection:
            await set_limit(connection, "acme", "writes", 7)
            await set_limit(connection, "globex", "writes", 0)
        assert await passes(rates, 20) == 7
        assert await passes(rates, 50, "globex") == 50
        assert await passes(rates, 20, "initech") == 3

    async def test_where_it_is_off_nothing_is_asked(self, engine: Engine):
        rates = TenantRates(engine.app, writes=0, reads=1)
        assert await passes(rates, 1_000) == 1_000
        async with engine.app.connection() as connection:
            assert await connection.fetchval("select count(*) from headrace.tenant_rates") == 0


class TestSettings:
    def test_developers_have_no_limit_and_others_do(self):
        found = {
            env: (settings.rate_tenant_writes, settings.rate_tenant_reads)
            for env in ("development", "testing")
            for settings in [Settings(env=env)]
        }
        assert found == {"development": (0, 0), "testing": (60, 300)}
        assert Settings(env="development", rate_tenant_reads=9).rate_tenant_reads == 9
