"""Processes as users start them, while their database goes and comes, or they are killed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from headrace.testing import Engine
from tests.crash.callers import Answer, Caller
from tests.crash.outage import Options, outage
from tests.crash.processes import process
from tests.ports import free_port
from tests.proxy import Proxy, proxy_to
from tests.waiting import eventually
from tests.web.pipes import PIPELINES
from tests.web.serving import SETTINGS, new_key

START_S = 30.0
BODY = json.dumps({"pipeline": "double", "payload": 1}).encode()


@pytest.mark.timeout(120)
async def test_what_was_accepted_around_an_outage_is_there(tmp_path: Path) -> None:
    """D4, but for seconds: more than a request waits. `python -m tests.crash.outage`: a minute."""
    options = Options(away_s=13.0, beside_s=1.0, clients=16, pause_s=0.05, immediate=True)
    seen = await outage(options, tmp_path)
    assert seen.wrong() == []
    assert any(answer.status == 503 for answer in seen.answers)
    assert len(seen.accepted) > 2 * options.clients


@dataclass
class Killable:
    """An API process behind whose back its database can be held."""

    engine: Engine
    proxy: Proxy
    folder: Path
    port: int
    key: str

    async def ask(self, key: str) -> Answer:
        """Submit with an idempotency key."""
        caller = Caller(self.port, self.key)
        try:
            return await caller.ask("POST", "/v1/jobs", BODY, Idempotency_Key=key)
        finally:
            caller.close()

    async def ready(self) -> bool:
        """Whether the process is."""
        caller = Caller(self.port)
        try:
            return (await caller.ask("GET", "/ready")).status == 200
        finally:
            caller.close()


@pytest.fixture
async def killable(database_server: str, tmp_path: Path) -> AsyncIterator[Killable]:
    engine = Engine(PIPELINES, server=database_server, settings=SETTINGS)
    async with engine, proxy_to(engine.database) as proxy:
        yield Killable(engine, proxy, tmp_path, free_port(), await new_key(engine))


async def test_a_server_killed_between_commit_and_answer_tells_of_the_same_job(
    killable: Killable,
) -> None:
    """A7: the client never heard of its job, and asks again with the same key."""
    api = (killable.proxy.address, killable.folder, "api")
    async with process(*api, HEADRACE_PORT=str(killable.port)) as server:
        await eventually(killable.ready, within=START_S)
        first = json.loads((await killable.ask("first")).body)["job_id"]  # all is prepared now
        killable.proxy.hold_answers()
        unheard = asyncio.create_task(killable.ask("unheard"))
        stored = await eventually(lambda: others(killable.engine, first))
        server.kill()
        assert (await unheard).status == 0
    killable.proxy.speak()
    async with process(*api, HEADRACE_PORT=str(killable.port)):
        await eventually(killable.ready, within=START_S)
        again = await killable.ask("unheard")
    assert (again.status, again.headers["idempotent-replay"]) == (202, "true")
    assert [json.loads(again.body)["job_id"]] == stored
    assert await others(killable.engine, first) == stored


async def others(engine: Engine, first: str) -> list[str]:
    """The ids of all jobs but one."""
    return [row.id for row in await engine.jobs() if row.id != first]
