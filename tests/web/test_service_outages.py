"""What health, readiness and metrics say while the database is away, of an API and of a worker."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from headrace import Headrace
from headrace.settings import Settings
from headrace.store.embedded import EmbeddedDatabase
from headrace.testing.running import running
from headrace.web.app import create_api
from headrace.web.port import open_port
from headrace.web.serving import make_server
from tests.store.embedded_users import PROJECT, open_folder
from tests.waiting import eventually, pulsing
from tests.web.pipes import PIPELINES, double
from tests.web.serving import PLAIN, SETTINGS

TURNS_S = 15.0
"""`/ready` turns within so long when the database is stopped."""
RETURNS_S = 10.0
ANSWERS_S = 1.0
"""Ten times what is promised, as the loop of the two lives it."""


@dataclass
class Asked:
    """One process under question."""

    client: httpx2.AsyncClient
    mode: str

    async def ready(self) -> int:
        return (await self.client.get("/ready")).status_code

    async def quick(self, path: str) -> httpx2.Response:
        async with pulsing() as pulse:
            answer = await self.client.get(path)
        assert pulse.seconds < ANSWERS_S, path
        return answer


@contextlib.asynccontextmanager
async def served(app: Headrace) -> AsyncIterator[list[Asked]]:
    """An API and a worker with a port of its own, in the test's loop."""
    async with contextlib.AsyncExitStack() as exits:
        worker = app.worker()
        await exits.enter_async_context(running(worker))
        port = await exits.enter_async_context(open_port(app, worker, 0))
        listener = exits.enter_context(socket.create_server(("127.0.0.1", 0)))
        server = make_server(create_api(app), app.settings)
        api = asyncio.create_task(server.serve_on(listener))
        exits.push_async_callback(asyncio.wait, {api})
        exits.callback(server.stop)
        await eventually(lambda: server.started and port.number)
        addresses = {"api": listener.getsockname()[1], "worker": port.number}
        asked = []
        for mode, number in addresses.items():
            client = httpx2.AsyncClient(base_url=f"http://127.0.0.1:{number}", verify=PLAIN)
            asked.append(Asked(await exits.enter_async_context(client), mode))
        yield asked


@pytest.fixture
async def database() -> AsyncIterator[EmbeddedDatabase]:
    with open_folder() as folder:
        server = EmbeddedDatabase(PROJECT, data_folder=Path(folder))
        yield server
        await asyncio.to_thread(server.stop)


async def turned(processes: list[Asked], status: int, within: float) -> None:
    """Wait until all of them say so."""

    async def all_say() -> bool:
        return [await one.ready() for one in processes] == [status] * len(processes)

    await eventually(all_say, within=within)


async def all_name_the_database(processes: list[Asked]) -> bool:
    """Whether all of them say that it is the database."""
    answers = [(await one.quick("/ready")).json() for one in processes]
    return all("database: it does not answer" in one.get("detail", "") for one in answers)


async def test_the_truth_table_holds_while_the_database_goes_and_comes(
    database: EmbeddedDatabase,
) -> None:
    """O3: health lives, readiness tells, and both come back."""
    address = await asyncio.to_thread(database.start)
    settings = Settings(**{**SETTINGS.model_dump(exclude_unset=True), "env": "testing"})
    app = Headrace(PIPELINES, database=address, settings=settings)
    await app.migrate()
    async with app, served(app) as processes:
        await turned(processes, 200, RETURNS_S)
        for one in processes:
            assert (await one.quick("/health")).json()["status"] == "healthy"
        await asyncio.to_thread(database.stop)
        await turned(processes, 503, TURNS_S)
        # A worker may have noticed first that its own duties fail: that is a reason, too.
        await eventually(lambda: all_name_the_database(processes), within=TURNS_S)
        for one in processes:
            health = await one.quick("/health")
            assert (health.status_code, health.json()["status"]) == (200, "degraded")
            assert health.json()["mode"] == one.mode
            answer = await one.quick("/ready")
            assert answer.headers["Retry-After"]
            assert answer.json()["code"] == "UNAVAILABLE"
            text = (await one.quick("/metrics")).text
            assert "headrace_database_up 0.0" in text
            assert "headrace_ready 0.0" in text
        await asyncio.to_thread(database.start)
        await turned(processes, 200, RETURNS_S)
        for one in processes:
            assert (await one.quick("/health")).json()["status"] == "healthy"
            assert "headrace_database_up 1.0" in (await one.quick("/metrics")).text
        job = await app.submit(double, 4)
        assert await job.result(timeout=10) == 8
