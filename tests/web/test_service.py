"""What a process tells of itself: GET /health, /ready, /stats, /metrics, POST /process and more."""

import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx2
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from headrace.settings import Settings
from headrace.telemetry.metrics import HISTOGRAMS
from headrace.testing import Engine
from headrace.web.auth.identity import Scope
from headrace.web.service.gauges import GAUGES
from headrace.web.service.probe import Probe
from tests.waiting import eventually
from tests.web.pipes import PIPELINES, Idea, decide, double
from tests.web.serving import SETTINGS, Api, serve, who

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
        found = answer.json()["components"]
        assert [found[name]["status"] for name in ("database", "migrations", "connections")] == [
            "ok"
        ] * 3
        assert 0 <= found["database"]["age_s"] < 30

    async def test_what_is_told_of_workers_was_seen_before(self, api: Api):
        await eventually(lambda: _ready(api))
        operator = await api.client(OPERATOR)
        assert (await components(operator))["workers"]["status"] == "unknown"
        await api.engine.submit(double, 1)
        await operator.get("/stats")
        found = await components(operator)
        assert (found["workers"]["status"], found["workers"]["detail"]) == ("degraded", "0 alive")
        assert found["queues"]["detail"] == "1 jobs that no worker carries"

    async def test_a_schema_that_is_older_than_the_code_is_a_reason(self, api: Api):
        async with api.engine.connection() as connection:
            await connection.execute(
                "delete from headrace.migrations"
                " where version = (select max(version) from headrace.migrations)"
            )
        probe = Probe(api.engine.app, every_s=0.05)
        probe.start()
        await eventually(lambda: probe.finding.database is None)
        await probe.stop()
        assert "run `headrace migrate`" in (probe.finding.migrations or "")


async def components(client: httpx2.AsyncClient) -> dict[str, dict[str, object]]:
    return dict((await client.get("/ready?deep=true")).json()["components"])


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

    async def test_what_it_tells_is_what_the_reference_names(self, api: Api):
        await api.engine.submit(double, 4)
        async with api.engine.worker():
            text = await read_metrics(await api.stranger())
        kinds: dict[str, set[str]] = {}
        for family in text_string_to_metric_families(text):
            if family.name.startswith("headrace_"):
                kinds.setdefault(family.type, set()).add(family.name.removeprefix("headrace_"))
        assert kinds["gauge"] <= set(GAUGES)
        assert set(GAUGES) - kinds["gauge"] <= OF_WORKERS | OF_FAILURES
        assert kinds["histogram"] == {f"{name}_seconds" for name in HISTOGRAMS}


OF_WORKERS = {name for name in GAUGES if name.startswith("worker")}
OF_FAILURES = {"dead_letter_oldest_age_seconds"}


async def read_metrics(client: httpx2.AsyncClient) -> str:
    """What is told once the state of the service was read: the first answers do not wait for it."""

    async def told() -> str:
        answer = await client.get("/metrics")
        assert answer.status_code == 200, answer.text
        return answer.text if "headrace_queue_depth{" in answer.text else ""

    return await eventually(told)


async def scraped(client: httpx2.AsyncClient) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(await read_metrics(client))
        for sample in family.samples
    }


class TestSweep:
    async def test_it_is_for_operators(self, api: Api):
        assert (await (await api.client()).post("/tasks/sweep")).status_code == 403

    async def test_it_does_what_workers_do_beside_jobs(self, api: Api):
        answer = await (await api.client(OPERATOR)).post("/tasks/sweep")
        assert answer.status_code == 200, answer.text
        assert answer.json()["complete"]

    async def test_the_jobs_of_a_dead_worker_are_free_again(self, api: Api):
        job = await api.engine.submit(double, 4)
        await api.engine.crash_at("claim.after_commit", "tests.web.pipes:double")
        await api.engine.move_clock(timedelta(minutes=2), keep_leases=False)
        done = (await (await api.client(OPERATOR)).post("/tasks/sweep")).json()
        assert (done["workers_lost"], done["recovered"], done["failed"]) == (1, 1, 0)
        assert (await job.status()).state == "queued"


class TestProcess:
    async def test_outside_development_there_is_no_such_path(self, api: Api):
        answer = await (await api.client()).post("/process")
        assert answer.status_code == 404

    async def test_in_development_one_due_job_is_run_at_once(self, database_server: str):
        async with served(database_server, env="development") as api:
            client = await api.client()
            assert (await client.post("/process")).json() == {
                "processed": 0, "job_id": None, "state": None,
            }  # fmt: skip
            jobs = [await api.engine.submit(double, number) for number in (1, 2)]
            for job in jobs:
                assert (await client.post("/process")).json() == {
                    "processed": 1, "job_id": job.id, "state": "completed",
                }  # fmt: skip
            assert (await (await api.stranger()).post("/process")).status_code == 401


TOKEN = "a-long-token-of-prometheus"  # noqa: S105 - of this test


@contextlib.asynccontextmanager
async def served(server: str, **changed: object) -> AsyncIterator[Api]:
    """An API with other settings."""
    settings = Settings(**{**SETTINGS.model_dump(exclude_unset=True), **changed})
    engine = Engine(PIPELINES, server=server, settings=settings)
    async with engine, serve(engine) as api:
        yield api


class TestWhoReadsMetrics:
    async def test_in_production_the_api_tells_none_without_a_token(self, database_server: str):
        production = {"env": "production", "database_url": SecretStr("postgresql://h/d")}
        async with served(database_server, **production) as api:
            answer = await (await api.stranger()).get("/metrics")
            assert (answer.status_code, answer.json()["code"]) == (403, "FORBIDDEN")

    async def test_with_a_token_nobody_else_reads_them(self, database_server: str):
        async with served(database_server, metrics_token=SecretStr(TOKEN)) as api:
            for client in (await api.stranger(), await api.client(OPERATOR)):
                assert (await client.get("/metrics")).status_code == 401
            assert (await (await api.bearer(TOKEN)).get("/metrics")).status_code == 200
            assert (await (await api.bearer(TOKEN + "x")).get("/metrics")).status_code == 401
