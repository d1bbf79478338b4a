"""Push workers as processes that are told to end, frozen and killed, at the usual durations.

They take half a minute of waiting, so `make crash` runs them: `python -m pytest
tests/cli/push_lives.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from headrace.testing import PubSubServer
from tests.cli.conftest import Commands, Shop
from tests.cli.test_push import ACCOUNT, AUDIENCE, RING, is_ready
from tests.cli.test_submit import read_until
from tests.ports import free_port
from tests.waiting import eventually

KILLED_S = 10.0
"""After SIGTERM Cloud Run waits for so long."""


@pytest.fixture
def server() -> Iterator[PubSubServer]:
    with PubSubServer() as server:
        yield server


@dataclass
class Container:
    """A push worker in a process of its own."""

    process: asyncio.subprocess.Process
    client: httpx2.AsyncClient

    async def ring(self) -> int:
        return (await self.client.post("/push", json=RING)).status_code


@contextlib.asynccontextmanager
async def container(commands: Commands, server: PubSubServer) -> AsyncIterator[Container]:
    port = free_port()
    process = await commands.start(
        "worker",
        "shop:app",
        "--push",
        "--no-supervisor",
        HEADRACE_QUEUES="default,slow",
        HEADRACE_DOORBELL="pubsub",
        PUBSUB_EMULATOR_HOST=server.address,
        HEADRACE_PUSH_AUDIENCE=AUDIENCE,
        HEADRACE_PUSH_SERVICE_ACCOUNT=ACCOUNT,
        HEADRACE_PUSH_KEYS_URL=server.certificates_url,
        HEADRACE_LEASE_S="10",
        HEADRACE_HEARTBEAT_S="1",
        PORT=str(port),
    )
    await read_until(process, "port_opened")
    headers = {"Authorization": f"Bearer {server.token(AUDIENCE, ACCOUNT)}"}
    base = f"http://127.0.0.1:{port}"
    async with httpx2.AsyncClient(base_url=base, headers=headers, timeout=60) as client:
        await eventually(lambda: is_ready(client))
        yield Container(process, client)


async def has_state(shop: Shop, state: str) -> bool:
    return await shop.states() == [state]


async def is_free_again(shop: Shop) -> bool:
    """Whether the sweep of a scheduler has found that the job's worker is gone."""
    worker = shop.app.worker(queues=["default", "slow"])
    await worker.sweep(within_s=30)
    await worker.close()
    return await has_state(shop, "queued")


class TestLives:
    async def test_sigterm_in_a_request(
        self, commands: Commands, prepared: Shop, server: PubSubServer, tmp_path: Path
    ) -> None:
        """C6: the job is handed back, the answer is 503, and the process is gone before 9 s."""
        async with container(commands, server) as one:
            await prepared.wait_for(tmp_path / "gate")
            ring = asyncio.create_task(one.ring())
            await eventually(lambda: has_state(prepared, "running"))
            began = asyncio.get_running_loop().time()
            one.process.send_signal(signal.SIGTERM)
            assert await ring == 503
            assert await one.process.wait() == 0
            took_s = asyncio.get_running_loop().time() - began
        assert took_s < KILLED_S - 1
        assert await prepared.states() == ["queued"]

    @pytest.mark.timeout(120)
    async def test_frozen_in_a_request(
        self, commands: Commands, prepared: Shop, server: PubSubServer, tmp_path: Path
    ) -> None:
        """C5: it loses its lease, another container does the job, and nothing happens twice."""
        gate = tmp_path / "gate"
        async with container(commands, server) as one, container(commands, server) as other:
            await prepared.wait_for(gate)
            ring = asyncio.create_task(one.ring())
            await eventually(lambda: has_state(prepared, "running"))
            one.process.send_signal(signal.SIGSTOP)
            await eventually(lambda: is_free_again(prepared), within=40)
            gate.touch()
            assert await other.ring() == 204
            assert await prepared.states() == ["completed"]
            one.process.send_signal(signal.SIGCONT)
            assert await ring in {204, 503}
            assert await prepared.states() == ["completed"]
            assert await one.ring() == 204

    @pytest.mark.timeout(120)
    async def test_killed_in_a_request(
        self, commands: Commands, prepared: Shop, server: PubSubServer, tmp_path: Path
    ) -> None:
        gate = tmp_path / "gate"
        async with container(commands, server) as one, container(commands, server) as other:
            await prepared.wait_for(gate)
            ring = asyncio.create_task(one.ring())
            await eventually(lambda: has_state(prepared, "running"))
            one.process.kill()
            with pytest.raises(httpx2.HTTPError):
                await ring
            await eventually(lambda: is_free_again(prepared), within=40)
            gate.touch()
            assert await other.ring() == 204
            assert await prepared.states() == ["completed"]
