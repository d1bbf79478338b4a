"""Many at once: of one tenant, of strangers who guess, of connections that do nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator

import httpx2
import pytest

from headrace.testing import Engine
from headrace.web.protocol import HURRIED_S, close_overdue
from tests.waiting import eventually
from tests.web.pipes import PIPELINES
from tests.web.serving import PLAIN, SETTINGS, Api, serve, who
from tests.web.sockets import dial

BODY = {"pipeline": "double", "payload": 1}
ELSEWHERE = "127.0.0.2"
"""Another address of this machine."""
GUESSES = 60
MOST = 40


@pytest.fixture
async def guarded(database_server: str) -> AsyncIterator[Api]:
    """An API with limits for addresses and tenants."""
    limits = {"rate_other": GUESSES, "rate_tenant_writes": 30, "rate_tenant_reads": 30}
    engine = Engine(PIPELINES, server=database_server, settings=SETTINGS.model_copy(update=limits))
    async with engine, serve(engine) as api:
        yield api


@pytest.fixture
async def small(database_server: str) -> AsyncIterator[Api]:
    """An API with few connections."""
    engine = Engine(PIPELINES, server=database_server, settings=SETTINGS)
    async with engine, serve(engine, most_connections=MOST) as api:
        yield api


async def from_elsewhere(api: Api, credential: str) -> httpx2.AsyncClient:
    transport = httpx2.AsyncHTTPTransport(local_address=ELSEWHERE, verify=PLAIN)
    headers = {"Authorization": f"Bearer {credential}"}
    client = httpx2.AsyncClient(base_url=api.url, headers=headers, transport=transport)
    return await api.exits.enter_async_context(client)


class TestFloods:
    """A9: one that asks too often is told when to come again, and takes nothing from others."""

    async def test_one_tenant_has_its_limit_and_the_others_theirs(self, guarded: Api):
        loud = await guarded.client(who("acme", "ann"))
        quiet = await from_elsewhere(guarded, await guarded.key(who("globex", "bob")))
        flood = [loud.post("/v1/jobs", json=BODY) for _ in range(90)]
        beside = [quiet.post("/v1/jobs", json=BODY) for _ in range(9)]
        answers = await asyncio.gather(*flood, *beside)
        loudly, quietly = answers[:90], answers[90:]
        assert Counter(answer.status_code for answer in loudly) == {202: 30, 429: 60}
        assert {answer.status_code for answer in quietly} == {202}
        for answer in loudly:
            if answer.status_code == 429:
                assert answer.json()["code"] == "RATE_LIMITED"
                assert 1 <= int(answer.headers["Retry-After"]) <= 60
        assert len(await guarded.engine.jobs()) == 39

    async def test_who_guesses_credentials_is_held_up_and_nobody_else(self, guarded: Api):
        honest = await from_elsewhere(guarded, await guarded.key(who()))
        guesser = await guarded.stranger()
        statuses = Counter[int]()
        for number in range(GUESSES + 20):
            guess = f"hr_{number:016d}_{'a' * 52}".replace("0", "b").replace("1", "c")
            headers = {"Authorization": f"Bearer {guess}"}
            answer = await guesser.get("/v1/queues", headers=headers)
            statuses[answer.status_code] += 1
        assert statuses == {401: GUESSES, 429: 20}
        assert 1 <= int(answer.headers["Retry-After"]) <= 60
        assert (await honest.get("/v1/queues")).status_code == 200


class TestConnections:
    """A10: connections that do nothing, or too much, are bounded and do no harm."""

    async def test_one_too_many_is_told_so_and_idle_ones_make_room(self, small: Api):
        open_ones = small.server.server_state.connections
        key = await small.key(who())
        async with contextlib.AsyncExitStack() as exits:
            idle = [
                await asyncio.open_connection("127.0.0.1", small.port) for _ in range(MOST + 20)
            ]
            for _, writer in idle:
                exits.callback(writer.close)
            await eventually(lambda: len(open_ones) == MOST + 20)
            client = await from_elsewhere(small, key)
            refused = await client.get("/v1/queues")
            assert (refused.status_code, refused.json()["code"]) == (503, "UNAVAILABLE")
            assert int(refused.headers["Retry-After"]) >= 1
            assert refused.headers["X-Request-ID"] == refused.json()["request_id"]
            assert refused.headers["X-Content-Type-Options"] == "nosniff"
            assert refused.headers["Connection"] == "close"
            later = asyncio.get_running_loop().time() + HURRIED_S + 0.1
            close_overdue(open_ones, later, HURRIED_S)
            for reader, _ in idle:
                assert await reader.read() == b""
            assert (await client.get("/v1/queues")).status_code == 200

    async def test_those_that_are_idle_have_less_time_in_a_crowd(self, small: Api):
        crowd = MOST // 2 + 1
        idle = [await asyncio.open_connection("127.0.0.1", small.port) for _ in range(crowd)]
        began = asyncio.get_running_loop().time()
        for reader, writer in idle:
            assert await reader.read() == b""
            writer.close()
        assert asyncio.get_running_loop().time() - began < 9
        await eventually(lambda: not small.server.server_state.connections)

    async def test_a_hundred_requests_at_once_are_answered_in_order(self, api: Api):
        async with dial(api) as line:
            ends = [f"/v1/jobs?limit={number}" for number in range(1, 101)]
            await line.send(b"".join(line.head(method="GET", path=path) for path in ends))
            for number in range(1, 101):
                status, _, body = await line.answer()
                assert status == 200
                assert f'"limit":{number},' in body.decode()

    async def test_who_sends_and_never_reads_takes_little_memory(self, api: Api):
        async with dial(api) as line:
            requests = line.head(method="GET", path="/openapi.json") * 200_000
            sent = asyncio.create_task(line.send(requests))
            done, _ = await asyncio.wait({sent}, timeout=1)
            [connection] = api.server.server_state.connections
            sizes = len(connection.pipeline), connection.transport.get_write_buffer_size()
            beside = await (await api.client()).get("/v1/jobs")
            sent.cancel()
            line.writer.transport.abort()
            assert not done
            assert sizes[0] < 5_000
            assert sizes[1] < 1_000_000
            assert beside.status_code == 200
        await eventually(lambda: connection not in api.server.server_state.connections)
