"""What a process tells of itself: GET /health, /ready, /stats, /metrics, POST /process and more."""

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from headrace.web.auth.identity import Scope
from tests.waiting import eventually
from tests.web.pipes import Idea, decide, double
from tests.web.serving import Api, who

OPERATOR = who("ops", "olga", Scope.OPERATOR)


async def ready(client: httpx2.AsyncClient) -> bool:
    return (await client.get("/ready")).status_code == 200


class TestHealth:
    async def test_it_tells_what_lives_and_since_when(self, api: Api):
        client = await api.stranger()
        await eventually(lambda: ready(client))
        answer = await client.get("/health")
        assert answer.status_code == 200
        body = answer.json()
        assert body.pop("uptime_seconds") > 0
        assert body.pop("timestamp").endswith("Z")
        assert body.pop("version")
        assert body == {
            "status": "healthy", "service": "headrace", "env": "testing", "mode": "api",
            "config_status": "ok", "debug": False,
        }  # fmt: skip


class TestReady:
    async def test_a_usable_process_is_ready(self, api: Api):
        client = await api.stranger()
        await eventually(lambda: ready(client))
        assert (await client.get("/ready")).json()["status"] == "ready"

    async def test_components_are_for_operators(self, api: Api):
        await eventually(lambda: _ready(api))
        assert (await (await api.stranger()).get("/ready?deep=true")).status_code == 401
        assert (await (await api.client()).get("/ready?deep=true")).status_code == 403
        answer = await (await api.client(OPERATOR)).get("/ready?deep=true")
        assert answer.json()["components"] == {"database": "ok", "migrations": "ok"}


async def _ready(api: Api) -> bool:
    return await ready(await api.stranger())


class TestStats:
    async def test_it_is_for_operators(self, api: Api):
        assert (await (await api.stranger()).get("/stats")).status_code == 401
        assert (await (await api.client()).get("/stats")).status_code == 403

    async def test_it_counts_jobs_and_tells_how_long_they_and_their_steps_took(self, api: Api):
        for size in (1, 2):
            await api.engine.submit(decide, Idea("a", size))
        await api.engine.run_until_empty()
        stats = (await (await api.client(OPERATOR)).get("/stats")).json()
        assert stats["jobs"]["completed"] == 2
        assert stats["jobs"]["success_rate_percent"] == 100.0
        assert stats["jobs"]["jobs_per_s"] > 0
        assert stats["jobs"]["last_job_at"]
        assert stats["latencies"]["job"]["count"] == 2
        assert stats["latencies"]["job"]["p99_ms"] >= stats["latencies"]["job"]["p50_ms"] > 0
        counts = {step["step"]: step["count"] for step in stats["steps"]}
        assert counts == {"expand": 2, "review": 3, "conclude": 2}
        [queue] = stats["queues"]
        assert (queue["queue"], queue["due"], queue["running"]) == ("default", 0, 0)


class TestMetrics:
    async def test_it_counts_events_and_tells_the_state_of_queues(self, api: Api):
        await api.engine.submit(double, 4)
        found = await scraped(await api.stranger())
        assert found["headrace_enqueued_total", "double", "default"] == 1
        assert found["headrace_queue_depth", "default", "due"] == 1
        assert found["headrace_queue_depth", "default", "unclaimable"] == 1


async def scraped(client: httpx2.AsyncClient) -> dict[tuple[str, ...], float]:
    answer = await client.get("/metrics")
    assert answer.status_code == 200, answer.text
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


class TestSweep:
    async def test_it_is_for_operators(self, api: Api):
        assert (await (await api.client()).post("/tasks/sweep")).status_code == 403

    async def test_it_does_what_workers_do_beside_jobs(self, api: Api):
        answer = await (await api.client(OPERATOR)).post("/tasks/sweep")
        assert answer.status_code == 200, answer.text
        assert answer.json()["complete"]


class TestProcess:
    async def test_outside_development_there_is_no_such_path(self, api: Api):
        answer = await (await api.client()).post("/process")
        assert answer.status_code == 404
