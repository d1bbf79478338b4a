"""The database goes away: what was accepted is there, what was not is said not to be."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx2
import pytest

from headrace import Headrace
from headrace.testing import Engine
from headrace.web.app import create_api
from headrace.web.state import CONNECTION_WAIT_S
from tests.proxy import Proxy, proxy_to
from tests.waiting import eventually, pulsing
from tests.web.pipes import PIPELINES
from tests.web.serving import PLAIN, SETTINGS, Api, serve

BODY = {"pipeline": "double", "payload": 1}


@dataclass
class Shaky:
    """An API whose database is behind a proxy."""

    api: Api
    app: Headrace
    proxy: Proxy


@pytest.fixture
async def shaky(database_server: str) -> AsyncIterator[Shaky]:
    engine = Engine(PIPELINES, server=database_server, settings=SETTINGS)
    async with engine, proxy_to(engine.database) as proxy:
        app = engine.app_with(PIPELINES, database=proxy.address)
        async with app, serve(engine, made=create_api(app)) as api:
            yield Shaky(api, app, proxy)


READERS = 64
ROUND_TRIP_S = 0.4


class TestASlowDatabase:
    async def test_submissions_do_not_wait_behind_what_is_read(self, shaky: Shaky):
        client = await shaky.api.client()
        assert (await client.get("/v1/jobs")).status_code == 200
        assert (await client.post("/v1/jobs", json=BODY)).status_code == 202
        shaky.proxy.slow_down(ROUND_TRIP_S / 2)
        reads = [asyncio.create_task(asked(shaky.api, "GET")) for _ in range(READERS)]
        await eventually(lambda: shaky.app.connections_in_use[0] == 15)
        for _ in range(3):
            async with pulsing() as pulse:
                assert (await asked(shaky.api, "POST")).status_code == 202
            assert pulse.seconds < 8 * ROUND_TRIP_S
        assert not all(read.done() for read in reads)
        shaky.proxy.slow_down(0)
        await asyncio.gather(*reads)

    async def test_reads_that_would_wait_for_long_are_told_to_come_again(self, shaky: Shaky):
        client = await shaky.api.client()
        assert (await client.get("/v1/jobs")).status_code == 200
        shaky.proxy.fall_silent()
        began = time.monotonic()
        answers = [asyncio.create_task(asked(shaky.api, "GET")) for _ in range(READERS)]
        most = 3 * CONNECTION_WAIT_S
        await eventually(
            lambda: sum(answer.done() for answer in answers) >= READERS - 15, within=most
        )
        assert time.monotonic() - began >= CONNECTION_WAIT_S
        for answer in answers:
            if answer.done():
                assert answer.result().status_code == 503
                assert int(answer.result().headers["Retry-After"]) >= 1
        shaky.proxy.speak()
        assert {answer.status_code for answer in await asyncio.gather(*answers)} == {200, 503}

    async def test_a_key_is_looked_up_once_for_all_who_come_with_it(self, shaky: Shaky):
        await shaky.api.client()
        shaky.proxy.fall_silent()
        requests = [asyncio.create_task(asked(shaky.api, "GET")) for _ in range(READERS)]
        await eventually(lambda: len(shaky.api.server.server_state.tasks) == READERS)
        assert shaky.app.connections_in_use[0] <= 1
        requests.pop().cancel()
        shaky.proxy.speak()
        assert {answer.status_code for answer in await asyncio.gather(*requests)} == {200}


async def asked(api: Api, method: str) -> httpx2.Response:
    """The answer on a connection of its own."""
    headers = {"Authorization": (await api.client()).headers["Authorization"]}
    async with httpx2.AsyncClient(
        base_url=api.url, timeout=30, headers=headers, verify=PLAIN
    ) as client:
        return await client.request(method, "/v1/jobs", json=BODY if method == "POST" else None)


class TestAnOutage:
    async def test_requests_are_told_when_to_come_again(self, shaky: Shaky):
        client = await shaky.api.client()
        job = (await client.post("/v1/jobs", json=BODY)).headers["Location"]
        shaky.proxy.refuse()
        shaky.proxy.cut()
        for method, path in (
            ("GET", "/v1/jobs"),
            ("GET", job),
            ("DELETE", job),
            ("POST", f"{job}/cancel"),
        ):
            answer = await client.request(method, path)
            assert (answer.status_code, answer.json()["code"]) == (503, "DATABASE_ERROR"), path
            assert int(answer.headers["Retry-After"]) >= 1
            assert "proxy" not in answer.text
        shaky.proxy.accept()
        assert (await client.get(job)).json()["state"] == "queued"

    async def test_each_key_is_one_job_however_often_it_was_cut_off(self, shaky: Shaky):
        """A7: cut off between commit and answer, too."""
        client = await shaky.api.client()
        stored: dict[str, str] = {}

        async def insist(key: str) -> None:
            while key not in stored:
                answer = await client.post("/v1/jobs", json=BODY, headers={"Idempotency-Key": key})
                if answer.status_code == 202:
                    stored[key] = answer.json()["job_id"]
                else:
                    assert answer.status_code == 503, answer.text
                    assert "Retry-After" in answer.headers
                    await asyncio.sleep(0.01)

        async with asyncio.TaskGroup() as group:
            for number in range(60):
                group.create_task(insist(f"key {number}"))
                if number % 20 == 10:
                    await asyncio.sleep(0)
                    shaky.proxy.cut()
            for _ in range(5):
                await asyncio.sleep(0.005)
                shaky.proxy.cut()
        rows = await shaky.api.engine.jobs()
        assert sorted(row.id for row in rows) == sorted(stored.values())
        assert len(stored) == 60

    async def test_without_a_key_what_was_accepted_is_there(self, shaky: Shaky):
        client = await shaky.api.client()

        async def try_once() -> str | None:
            answer = await client.post("/v1/jobs", json=BODY)
            assert answer.status_code in {202, 503}, answer.text
            return answer.json().get("job_id")

        tries = [asyncio.create_task(try_once()) for _ in range(60)]
        for _ in range(5):
            await asyncio.sleep(0.005)
            shaky.proxy.cut()
        accepted = {job for job in await asyncio.gather(*tries) if job is not None}
        assert accepted <= {row.id for row in await shaky.api.engine.jobs()}
