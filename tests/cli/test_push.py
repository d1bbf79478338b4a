"""`headrace worker --push`."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import httpx2
import pytest

from headrace.testing import PubSubServer
from tests.cli.conftest import Commands, Headrace, Shop
from tests.cli.test_submit import read_until
from tests.ports import free_port
from tests.waiting import eventually

AUDIENCE = "https://worker.example.com/push"
ACCOUNT = "pusher@shop.iam.gserviceaccount.com"


@pytest.fixture
def server() -> Iterator[PubSubServer]:
    with PubSubServer() as server:
        yield server


@pytest.fixture
def environment(server: PubSubServer) -> dict[str, str]:
    return {
        "HEADRACE_DOORBELL": "pubsub",
        "PUBSUB_EMULATOR_HOST": server.address,
        "HEADRACE_PUSH_AUDIENCE": AUDIENCE,
        "HEADRACE_PUSH_SERVICE_ACCOUNT": ACCOUNT,
        "HEADRACE_PUSH_KEYS_URL": server.certificates_url,
        "PORT": str(free_port()),
    }


class TestPush:
    async def test_it_works_for_requests_alone(
        self, commands: Commands, prepared: Shop, environment: dict[str, str], server: PubSubServer
    ) -> None:
        await prepared.order()
        worker = await commands.start("worker", "shop:app", "--push", **environment)
        await read_until(worker, "port_opened")
        base = f"http://127.0.0.1:{environment['PORT']}"
        headers = {"Authorization": f"Bearer {server.token(AUDIENCE, ACCOUNT)}"}
        async with httpx2.AsyncClient(base_url=base, headers=headers, timeout=30) as client:
            await eventually(lambda: is_ready(client))
            assert set(await prepared.states()) == {"queued"}
            assert (await client.post("/push", json=RING)).status_code == 204
            assert set(await prepared.states()) == {"completed"}
        worker.send_signal(signal.SIGTERM)
        assert await worker.wait() == 0

    @pytest.mark.parametrize(
        ("changed", "named"),
        [
            ({"HEADRACE_DOORBELL": "listen"}, "HEADRACE_DOORBELL"),
            (
                {"HEADRACE_PUSH_AUDIENCE": None, "HEADRACE_PUSH_SERVICE_ACCOUNT": None},
                "HEADRACE_PUSH_SERVICE_ACCOUNT",
            ),
        ],
    )
    async def test_what_is_missing_is_said(
        self,
        headrace: Headrace,
        environment: dict[str, str],
        changed: dict[str, str | None],
        named: str,
    ) -> None:
        given = {name: text for name, text in (environment | changed).items() if text is not None}
        result = await headrace("worker", "shop:app", "--push", "--no-supervisor", **given)
        assert result.code != 0
        assert named in result.err


RING = {
    "message": {
        "attributes": {"kind": "doorbell", "queue": "default", "v": "1"},
        "messageId": "1",
        "publishTime": "2026-03-01T12:00:00Z",
    },
    "subscription": "projects/emulator-project/subscriptions/headrace-jobs-push-sub",
}


async def is_ready(client: httpx2.AsyncClient) -> bool:
    return (await client.get("/ready")).status_code == 200
