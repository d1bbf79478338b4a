"""What operators see and do across all tenants, and what is left of it in the audit."""

from collections.abc import AsyncIterator

import pytest

from headrace import CircuitBreaker
from headrace.testing import Engine
from headrace.web.auth.identity import Scope
from tests.waiting import eventually
from tests.web.administering import (
    NOBODY,
    ROOT,
    WHY,
    actor,
    audited,
    call,
    entries,
    serve_operators,
)
from tests.web.pipes import PIPELINES, double, fragile, hold
from tests.web.serving import SETTINGS, USER, Api, serve, who

CALLS = [
    ("GET", "/jobs"),
    ("POST", f"/jobs/{NOBODY}/cancel"),
    ("POST", f"/jobs/{NOBODY}/requeue"),
    ("POST", f"/jobs/{NOBODY}/force-release"),
    ("POST", f"/jobs/{NOBODY}/fail"),
    ("GET", "/dead-letters"),
    ("POST", "/dead-letters/redrive"),
    ("POST", f"/dead-letters/{NOBODY}/redrive"),
    ("GET", "/queues"),
    ("POST", "/queues/default/pause"),
    ("POST", "/queues/default/resume"),
    ("POST", "/queues/default/drain"),
    ("POST", "/queues/default/purge"),
    ("POST", "/queues/default/limit"),
    ("GET", "/tenants"),
    ("POST", "/tenants/limit"),
    ("GET", "/schedules"),
    ("POST", "/schedules/reports.tick/pause"),
    ("POST", "/schedules/reports.tick/resume"),
    ("POST", "/schedules/reports.tick/trigger"),
    ("GET", "/workers"),
    ("POST", "/workers/1/drain"),
    ("GET", "/api-keys"),
    ("POST", "/api-keys"),
    ("DELETE", "/api-keys/aaaaaaaaaaaaaaaa"),
    ("GET", "/inbox-sources"),
    ("POST", "/inbox-sources"),
    ("POST", "/inbox-sources/shop/rotate"),
    ("DELETE", "/inbox-sources/shop"),
    ("GET", "/quarantine"),
    ("POST", "/quarantine/1/redrive"),
    ("DELETE", "/quarantine/1"),
    ("GET", "/breakers"),
    ("POST", "/breakers/openai/trip"),
    ("POST", "/breakers/openai/reset"),
    ("GET", "/locks"),
    ("POST", "/locks/release"),
    ("POST", "/rates"),
    ("GET", "/quotas"),
    ("POST", "/quotas"),
    ("POST", "/quotas/clear"),
    ("GET", "/budgets"),
    ("POST", "/budgets"),
    ("POST", "/budgets/clear"),
    ("GET", "/retention"),
    ("POST", "/retention/run"),
    ("GET", "/operations"),
    ("POST", "/operations/forget"),
    ("GET", "/audit"),
]


@pytest.fixture
async def api(database_server: str) -> AsyncIterator[Api]:
    """The API with its routes for operators."""
    async with serve_operators(database_server) as running:
        yield running


class TestWhoMay:
    async def test_it_is_off_by_default(self, database_server: str):
        engine = Engine(PIPELINES, server=database_server, settings=SETTINGS)
        async with engine, serve(engine) as api:
            client = await api.client(ROOT)
            for method, path in CALLS:
                assert (await client.request(method, f"/v1/admin{path}")).status_code == 404
            paths = (await client.get("/openapi.json")).json()["paths"]
            assert not any(path.startswith("/v1/admin") for path in paths)

    async def test_each_call_is_for_operators_alone(self, api: Api):
        paths = (await (await api.stranger()).get("/openapi.json")).json()["paths"]
        known = sum(len(methods) for path, methods in paths.items() if "/admin/" in path)
        assert known == len(CALLS)
        user = await api.client(who("acme", "ann", *USER, Scope.TENANT_ADMIN))
        for method, path in CALLS:
            refused = await user.request(method, f"/v1/admin{path}", params=WHY)
            assert (refused.status_code, refused.json()["code"]) == (403, "FORBIDDEN"), path
            nobody = await (await api.stranger()).request(method, f"/v1/admin{path}")
            assert nobody.status_code == 401, path
        assert await audited(api) == []

    async def test_each_call_takes_a_reason(self, api: Api):
        client = await api.client(ROOT)
        for method, path in CALLS:
            answer = await client.request(method, f"/v1/admin{path}")
            assert answer.status_code == (422 if method == "POST" else 400), path
        assert await audited(api) == []


class TestJobs:
    async def test_those_of_all_tenants_are_listed(self, api: Api):
        for tenant in ("acme", "globex"):
            await api.engine.submit(double, 1, tenant=tenant, owner="ann")
        page = await call(api, "GET", "/jobs", limit=1)
        rest = await call(api, "GET", "/jobs", cursor=page["next"])
        assert [job["tenant"] for job in page["items"] + rest["items"]] == ["globex", "acme"]
        assert len((await call(api, "GET", "/jobs", tenant="acme"))["items"]) == 1
        assert await audited(api) == [
            ("job.list", "all tenants"),
            ("job.list", "all tenants"),
            ("job.list", "acme"),
        ]

    async def test_one_is_cancelled_and_runs_again(self, api: Api):
        job = (await api.engine.submit(double, 1, tenant="globex", owner="ann")).id
        assert (await call(api, "POST", f"/jobs/{job}/cancel"))["state"] == "cancelled"
        assert (await call(api, "POST", f"/jobs/{job}/requeue", 202))["run"] == 2
        await call(api, "POST", f"/jobs/{job}/requeue", 409)
        await call(api, "POST", f"/jobs/{NOBODY}/requeue", 404)
        await call(api, "POST", f"/jobs/{NOBODY}/cancel", 404)
        assert await audited(api) == [
            ("job.cancel", job),
            ("job.requeue", job),
            ("job.requeued", job),
            ("job.requeue", job),
            ("job.requeue", NOBODY),
        ]
        events = await api.engine.events(job)
        assert {event.actor for event in events[1:]} == {await actor(api)}


class TestDeadLetters:
    async def test_they_are_listed_with_the_whole_error(self, api: Api):
        await api.engine.submit(fragile, "secret", tenant="globex", owner="ann")
        await api.engine.run_until_empty()
        [letter] = (await call(api, "GET", "/dead-letters", text="REFUSED IT"))["items"]
        assert letter["tenant"] == "globex"
        assert "db.internal" in letter["error"]["message"]
        assert (await call(api, "GET", "/dead-letters", text="else"))["items"] == []

    async def test_one_some_or_none_run_again(self, api: Api):
        jobs = [
            (await api.engine.submit(fragile, "user", tenant=tenant, owner="ann")).id
            for tenant in ("acme", "globex", "globex")
        ]
        await api.engine.run_until_empty()
        await call(api, "POST", "/dead-letters/redrive", 422, limit=1_000, per_second=1)
        counted = await call(api, "POST", "/dead-letters/redrive", tenant="globex", dry_run=True)
        assert (counted["matched"], counted["job_ids"]) == (2, [])
        redrive = {"tenant": "globex", "per_second": 1_000}
        done = await call(api, "POST", "/dead-letters/redrive", **redrive)
        assert (done["redriven"], set(done["job_ids"])) == (2, set(jobs[1:]))
        assert (await call(api, "POST", f"/dead-letters/{jobs[0]}/redrive", 202))["run"] == 2
        assert (await call(api, "GET", "/dead-letters"))["items"] == []
        assert [action for action, _ in await audited(api)] == [
            *("dead_letter.redrive", "dead_letter.redriven") * 2,
            "job.requeue",
            "job.requeued",
            "dead_letter.list",
        ]


class TestQueues:
    async def test_one_is_closed_and_opened_for_everybody(self, api: Api):
        job = (await api.engine.submit(double, 1, tenant="globex", owner="ann")).id
        assert (await call(api, "POST", "/queues/default/pause"))["is_paused"] is True
        [queue] = await call(api, "GET", "/queues")
        assert (queue["depth"], queue["pause_reason"]) == (1, "ticket 4711")
        assert (await call(api, "POST", "/queues/default/resume"))["is_paused"] is False
        await api.engine.run_until_empty()
        assert (await api.engine.job(job)).state == "completed"
        await call(api, "POST", "/queues/nothing/pause", 404)
        assert await audited(api) == [
            ("queue.pause", "default"),
            ("queue.list", "all"),
            ("queue.resume", "default"),
        ]


class TestBreakers:
    async def test_one_is_opened_and_closed_for_everybody(self, api: Api):
        async with api.engine.app.primitives(), CircuitBreaker("openai"):
            pass
        [breaker] = await call(api, "GET", "/breakers")
        assert (breaker["name"], breaker["tenant"], breaker["state"]) == ("openai", None, "closed")
        opened = await call(api, "POST", "/breakers/openai/trip", open_for_s=600)
        [changed] = opened["breakers"]
        assert changed == {"tenant": None, "before": "closed", "state": "open"}
        [breaker] = await call(api, "GET", "/breakers")
        assert (breaker["state"], breaker["why"]) == ("open", "ticket 4711")
        assert breaker["probe_at"] > breaker["since"]
        await call(api, "POST", "/breakers/openai/trip", 422, open_for_s=0)
        closed = await call(api, "POST", "/breakers/openai/reset")
        assert closed["breakers"][0]["state"] == "closed"
        await call(api, "POST", "/breakers/nothing/reset", 404)
        assert await audited(api) == [
            ("breaker.list", "all"),
            ("breaker.trip", "openai"),
            ("breaker.list", "all"),
            ("breaker.reset", "openai"),
        ]


class TestWorkers:
    async def test_one_is_listed_and_drained(self, api: Api):
        held = await api.engine.submit(hold, 1)
        async with api.engine.worker():
            await eventually(lambda: self.is_running(api, held.id))
            [worker] = await call(api, "GET", "/workers")
            assert (worker["state"], worker["queues"]) == ("alive", ["default"])
            number = worker["worker_id"]
            drained = await call(api, "POST", f"/workers/{number}/drain", 202)
            assert drained == {"worker_id": number, "state": "draining"}
            assert (await call(api, "GET", "/workers"))[0]["state"] == "draining"
            await api.engine.app.cancel(held.id)
        await call(api, "POST", f"/workers/{number}/drain", 404)
        assert ("worker.drain", str(number)) in await audited(api)

    async def is_running(self, api: Api, job: str) -> bool:
        return (await api.engine.job(job)).state == "running"


class TestApiKeys:
    async def test_one_is_made_used_listed_and_revoked(self, api: Api):
        wanted = {"tenant": "acme", "owner": "bot", "scopes": ["jobs:read"], "expires_in_s": 600}
        made = await call(api, "POST", "/api-keys", 201, **wanted)
        client = await api.bearer(made["key"])
        assert (await client.get("/v1/jobs")).status_code == 200
        listed = await call(api, "GET", "/api-keys", tenant="acme")
        assert [key["prefix"] for key in listed] == [made["prefix"]]
        assert made["key"] not in str(listed)
        ended = await call(api, "DELETE", f"/api-keys/{made['prefix']}")
        assert ended["revoked_by"] == await actor(api)
        await call(api, "DELETE", f"/api-keys/{made['prefix']}", 404)
        assert await audited(api) == [
            ("api_key.create", made["prefix"]),
            ("api_key.list", "acme"),
            ("api_key.revoke", made["prefix"]),
        ]
        assert made["key"] not in str(await call(api, "GET", "/audit"))

    async def test_one_that_would_never_end_or_open_nothing_is_refused(self, api: Api):
        wanted = {"tenant": "acme", "owner": "bot", "scopes": ["jobs:read"], "expires_in_s": 600}
        for wrong in (
            {"scopes": []},
            {"scopes": ["root"]},
            {"expires_in_s": 0},
            {"tenant": "a\nb"},
            {"key": "hr_mine"},
        ):
            await call(api, "POST", "/api-keys", 422, **{**wanted, **wrong})


class TestRates:
    async def test_a_tenant_gets_a_limit_of_its_own(self, api: Api):
        limit = {"tenant": "acme", "kind": "writes", "per_minute": 5}
        assert await call(api, "POST", "/rates", **limit) == limit
        await call(api, "POST", "/rates", 422, **{**limit, "kind": "all"})
        await call(api, "POST", "/rates", 422, **{**limit, "per_minute": -1})
        [entry] = [one for one in await entries(api) if one["action"] == "rate.set"]
        assert (entry["target"], entry["after"]) == ("acme", limit)


class TestRetention:
    async def test_what_is_old_is_counted_and_deleted(self, api: Api):
        job = await api.engine.submit(double, 1)
        await api.engine.run_until_empty()
        assert await call(api, "GET", "/retention") == {"jobs": 0, "checkpoints": 0}
        done = await call(api, "POST", "/retention/run")
        assert done == {"jobs": 0, "checkpoints": 0, "complete": True}
        assert (await api.engine.job(job)).state == "completed"
        assert [action for action, _ in await audited(api)] == [
            "retention.count",
            "retention.run",
            "retention.ran",
        ]


class TestLocks:
    async def test_a_lock_is_listed_and_taken_from_its_holder(self, api: Api) -> None:
        locks = api.engine.app.locks
        lease = await locks.acquire(locks.request("repo:42", tenant="acme", reason="push"))
        [lock] = await call(api, "GET", "/locks", tenant="acme")
        assert (lock["key"], lock["token"], lock["reason"]) == ("repo:42", lease.token, "push")
        taken = await call(api, "POST", "/locks/release", tenant="acme", key="repo:42")
        assert taken["token"] == lease.token
        assert await call(api, "GET", "/locks") == []
        await call(api, "POST", "/locks/release", 404, tenant="acme", key="repo:42")
        assert not await locks.release(lease)
        assert await audited(api) == [
            ("lock.list", "acme"),
            ("lock.release", "acme/repo:42"),
            ("lock.list", "all tenants"),
        ]
