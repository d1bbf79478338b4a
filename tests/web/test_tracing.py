"""Traces from a request through the claim to the steps, as a collector sees them."""

import asyncio
import contextlib
import io
import json
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from headrace import Pipeline
from headrace.telemetry import tracing
from headrace.telemetry.logs import configure_logs
from headrace.telemetry.tracing import address_of, span_context_of, start_tracing, trace_id_of
from headrace.testing import Engine
from tests.telemetry.collector import Collector, collecting
from tests.web.serving import SETTINGS, Api, serve

CLIENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
KEY = "sk-proj-Zm9vYmFyYmF6cXV4MTIzNDU2"

traced = Pipeline("traced", input=int, output=int)


@traced.step
async def doubled(number: int) -> int:
    logging.getLogger("shop").warning("doubling")
    return number * 2


@traced.step
def halved(doubled: int) -> int:
    logging.getLogger("shop").warning("halving")
    return doubled // 2


broken = Pipeline("broken", input=int, output=int)


@broken.step
async def failing(number: int) -> int:
    raise ValueError(f"number {number} with password={KEY}")


@contextlib.asynccontextmanager
async def watched(server: str, *, sample: float = 1.0) -> AsyncIterator[tuple[Api, Collector]]:
    """An API whose spans are collected when the block has ended."""
    with collecting() as collector:
        stop = start_tracing(collector.url, sample=sample, version="1", project="acme-prod")
        try:
            engine = Engine([traced, broken], server=server, settings=SETTINGS)
            async with engine, serve(engine) as api:
                yield api, collector
        finally:
            await asyncio.to_thread(stop)


async def submit(api: Api, pipeline: str, **headers: str) -> str:
    client = await api.client()
    answer = await client.post(
        "/v1/jobs", json={"pipeline": pipeline, "payload": 4}, headers=headers
    )
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


class TestTraces:
    async def test_a_request_its_claim_and_its_steps_are_spans(self, database_server: str):
        async with watched(database_server) as (api, collector):
            job = await submit(api, "traced", traceparent=CLIENT)
            await (await api.stranger()).get("/health")
            await api.engine.run_until_empty()
        [request] = collector.named("POST /v1/jobs")
        assert request.trace == "0af7651916cd43dd8448eb211c80319c"
        assert request.parent == "b7ad6b7169203331"
        assert request.attributes["http.response.status_code"] == 202
        assert [span.attributes["headrace.jobs"] for span in collector.named("claim")] == [1]
        steps = collector.named("traced.doubled") + collector.named("traced.halved")
        assert [span.attributes["headrace.job_id"] for span in steps] == [job, job]
        assert [span.links for span in steps] == [[(request.trace, request.span)]] * 2
        [trace] = {span.trace for span in steps}
        assert trace != request.trace
        assert not any(span.parent for span in steps)
        assert len(collector.spans) == 4, [span.name for span in collector.spans]

    async def test_a_failed_step_says_so_without_its_secrets(self, database_server: str):
        async with watched(database_server) as (api, collector):
            await submit(api, "broken")
            await api.engine.run_until_empty(skip_waits=True)
        span, *_ = collector.named("broken.failing")
        assert span.attributes["error.type"] == "ValueError"
        assert span.status.startswith("ValueError: number 4 with password=***")
        assert KEY.encode() not in collector.raw

    async def test_what_is_not_sampled_is_not_sent(self, database_server: str):
        async with watched(database_server, sample=0.0) as (api, collector):
            await submit(api, "traced")
            await api.engine.run_until_empty()
        assert collector.spans == []

    async def test_the_lines_of_a_step_bear_its_trace(self, database_server: str):
        stream = io.StringIO()
        async with watched(database_server) as (api, collector):
            logs = configure_logs(style="json", stream=stream)
            try:
                await submit(api, "traced", traceparent=CLIENT)
                await api.engine.run_until_empty()
            finally:
                logs.close()
        lines = [json.loads(line) for line in stream.getvalue().splitlines()]
        said = {line["message"]: line for line in lines}
        for message, name in (("doubling", "traced.doubled"), ("halving", "traced.halved")):
            [span] = collector.named(name)
            line = said[message]
            assert line["trace_id"] == span.trace
            assert line["logging.googleapis.com/trace"] == f"projects/acme-prod/traces/{span.trace}"
            assert line["logging.googleapis.com/spanId"] == span.span
            assert line["logging.googleapis.com/trace_sampled"] is True
        [request] = collector.named("POST /v1/jobs")
        assert said["request_served"]["trace_id"] == request.trace
        assert "trace_id" not in said["job_completed"]

    async def test_a_collector_that_is_away_harms_no_job(self, database_server: str):
        stop = start_tracing("http://127.0.0.1:9", sample=1.0, version="1")
        try:
            async with Engine([traced], server=database_server, settings=SETTINGS) as engine:
                job = await engine.submit(traced, 4)
                await engine.run_until_empty()
                assert await job.result() == 4
        finally:
            await asyncio.to_thread(stop)


class TestOff:
    def test_nothing_of_it_is_imported(self):
        code = (
            "import sys, headrace.worker.worker, headrace.telemetry.logs\n"
            "print([name for name in sys.modules if name.startswith('opentelemetry')])"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=30
        )
        assert done.stdout == "[]\n"

    async def test_no_step_passes_a_layer_of_it(self, database_server: str):
        assert tracing.current is None
        engine = Engine([traced], server=database_server, settings=SETTINGS)
        async with engine, engine.worker() as worker:
            life = worker.worker.life
            assert life is not None
            assert life.executor._perform.__name__ == "perform"


class TestNames:
    @pytest.mark.parametrize("text", ["", "00-0-0-0", "nonsense", CLIENT.replace("0", "g")])
    def test_what_is_no_context_links_to_nothing(self, text: str):
        assert span_context_of(text) is None

    def test_a_run_is_one_trace_for_every_worker(self):
        job = UUID("0192f1e2-1234-7abc-8def-001122334455")
        assert trace_id_of(job, 1) == trace_id_of(job, 1)
        assert trace_id_of(job, 1) != trace_id_of(job, 2)
        assert 0 < trace_id_of(job, 1) < 2**128

    @pytest.mark.parametrize("given", ["http://a:4318", "http://a:4318/"])
    def test_the_usual_path_is_added(self, given: str):
        assert address_of(given) == "http://a:4318/v1/traces"

    def test_another_path_is_kept(self):
        assert address_of("https://a/otlp/v1/traces") == "https://a/otlp/v1/traces"
