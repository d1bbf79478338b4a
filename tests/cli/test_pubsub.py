"""`headrace pubsub`, and what the other commands make of its settings."""

from __future__ import annotations

import json
from collections.abc import Iterator

import asyncpg
import httpx2
import pytest

from headrace.broker.access import Access
from headrace.broker.setup import set_up
from headrace.broker.topology import Names, topology
from headrace.testing import PubSubServer
from headrace.testing.pubsub import Call, Code, Fail
from tests.cli.conftest import Commands, Headrace
from tests.cli.test_submit import read_until
from tests.ports import free_port
from tests.waiting import eventually


@pytest.fixture
def server() -> Iterator[PubSubServer]:
    with PubSubServer() as server:
        yield server


@pytest.fixture
def environment(server: PubSubServer) -> dict[str, str]:
    return {"HEADRACE_DOORBELL": "pubsub", "PUBSUB_EMULATOR_HOST": server.address}


class TestSetup:
    async def test_it_makes_what_a_check_misses(
        self, headrace: Headrace, environment: dict[str, str]
    ) -> None:
        before = await headrace("pubsub", "setup", "--check", "--json", **environment)
        assert before.code == 1
        assert {row["state"] for row in json.loads(before.out)} == {"missing"}
        made = await headrace("pubsub", "setup", "--json", **environment)
        assert {row["state"] for row in made.json()} == {"created"}

    async def test_it_says_whether_results_and_dead_letters_are_published(
        self, headrace: Headrace, environment: dict[str, str], database: str
    ) -> None:
        topics = {"results": "headrace-results", "dead-letters": "headrace-dead-letters"}
        for option, wanted in (("--publish", topics), ("--no-publish", {})):
            assert (await headrace("pubsub", "setup", option, **environment)).code == 0
            connection = await asyncpg.connect(database)
            rows = await connection.fetch("select kind, name from headrace.topics")
            await connection.close()
            assert {row["kind"]: row["name"] for row in rows} == wanted

    async def test_without_a_project_it_says_what_to_set(self, headrace: Headrace) -> None:
        result = await headrace("pubsub", "setup")
        assert "HEADRACE_PUBSUB_PROJECT" in result.err
        assert "PUBSUB_EMULATOR_HOST" in result.err


class TestDoctor:
    async def test_it_looks_at_the_topics(
        self, headrace: Headrace, environment: dict[str, str], server: PubSubServer
    ) -> None:
        missing = await headrace("doctor", **environment)
        assert "fail  broker       topic headrace-jobs missing" in missing.out
        access = Access(server.project, server.address)
        await set_up(access, topology(Names(), filtered=True))
        there = await headrace("doctor", **environment)
        assert "ok    broker       9 topics and subscriptions are as they should be" in there.out


class TestWorker:
    async def test_it_is_not_ready_without_permission_and_says_why(
        self, commands: Commands, environment: dict[str, str], server: PubSubServer
    ) -> None:
        port = free_port()
        with server.inject(Fail(call=Call.STREAMING_PULL, code=Code.PERMISSION_DENIED)):
            worker = await commands.start(
                "worker", "shop:app", "--no-supervisor", "--port", str(port), **environment
            )
            await read_until(worker, "port_opened")
            async with httpx2.AsyncClient(
                base_url=f"http://127.0.0.1:{port}", timeout=30
            ) as client:
                told = await eventually(lambda: reason(client))
        wanted = "executor: the doorbell does not work: permission denied for subscription"
        assert wanted in told


async def reason(client: httpx2.AsyncClient) -> str:
    """Why it is not ready, as soon as that is the doorbell."""
    text = (await client.get("/ready")).text
    return text if "doorbell" in text else ""
