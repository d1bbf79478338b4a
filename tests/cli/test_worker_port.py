"""The port of `headrace worker`: it tells of the worker, and is not its life."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path

import httpx2

from tests.cli.conftest import Commands, Shop
from tests.cli.test_submit import read_until
from tests.ports import free_port
from tests.waiting import eventually


class TestPort:
    async def test_it_answers_while_it_works_and_is_not_ready_while_it_drains(
        self, commands: Commands, prepared: Shop, tmp_path: Path
    ) -> None:
        number = free_port()
        worker = await commands.start(
            "worker", "shop:app", "--queues", "slow", "--no-supervisor", "--port", str(number)
        )
        await read_until(worker, "port_opened")
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{number}", timeout=30) as client:
            await eventually(lambda: is_ready(client))
            assert (await client.get("/health")).json()["mode"] == "worker"
            assert (await client.get("/v1/jobs")).status_code == 404
            gate = tmp_path / "gate"
            await prepared.wait_for(gate)
            await eventually(lambda: metric_is(client, "headrace_worker_running 1.0"))
            worker.send_signal(signal.SIGTERM)
            await eventually(lambda: is_draining(client))
            assert (await client.get("/health")).status_code == 200
            gate.touch()
        assert await worker.wait() == 0

    async def test_a_port_that_is_taken_is_not_its_end(
        self, commands: Commands, prepared: Shop
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            worker = await commands.start(
                "worker", "shop:app", HEADRACE_WORKER_PORT=str(taken.getsockname()[1])
            )
            assert "Address already in use" in await read_until(worker, "port_failed")
            await prepared.order()
            await eventually(lambda: all_completed(prepared))
            worker.terminate()
            assert await worker.wait() == 0

    async def test_the_platforms_port_is_taken(self, commands: Commands) -> None:
        number = free_port()
        worker = await commands.start("worker", "shop:app", PORT=str(number))
        said = await read_until(worker, "port_opened")
        assert json.loads(said.splitlines()[-1])["port"] == number


async def is_ready(client: httpx2.AsyncClient) -> bool:
    return (await client.get("/ready")).status_code == 200


async def is_draining(client: httpx2.AsyncClient) -> bool:
    answer = await client.get("/ready")
    return answer.status_code == 503 and "executor: it is draining" in answer.text


async def metric_is(client: httpx2.AsyncClient, line: str) -> bool:
    return line in (await client.get("/metrics")).text.splitlines()


async def all_completed(shop: Shop) -> bool:
    return set(await shop.states()) == {"completed"}
