"""A worker that is woken by requests, on a socket, and a Pub/Sub server that sends them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from headrace import Headrace
from headrace.settings import load_settings
from headrace.telemetry.events import Event, Level, add_sink
from headrace.telemetry.request_events import RequestFailed
from headrace.testing import PubSubServer
from headrace.testing.pubsub import SubscriptionOrder
from headrace.web.port import open_push
from headrace.web.push.desk import Desk
from tests.push.pipes import PIPELINES, stone
from tests.waiting import eventually

ACCOUNT = "pusher@shop.iam.gserviceaccount.com"
AUDIENCE = "https://worker.example.com/push"
TOPIC = "headrace-jobs"
SUBSCRIPTION = "projects/emulator-project/subscriptions/headrace-jobs-push-sub"
SIGNING_KEY = "a master key that is 32 bytes!!!".replace(" ", "-")


@dataclass
class Site:
    """A push worker at work."""

    app: Headrace
    server: PubSubServer
    desk: Desk
    client: httpx2.AsyncClient
    working: asyncio.Task[int]

    @property
    def url(self) -> str:
        return str(self.client.base_url.join("/push"))

    def token(self, **claims: Any) -> str:
        audience, email = claims.pop("audience", AUDIENCE), claims.pop("email", ACCOUNT)
        return self.server.token(audience, email, **claims)

    async def post(self, body: bytes, token: str | None = None, **headers: str) -> httpx2.Response:
        """Post a body, signed as it should be if no token is given."""
        given = {"Authorization": f"Bearer {token or self.token()}", **headers}
        kind = {"Content-Type": "application/json"}
        return await self.client.post("/push", content=body, headers=kind | given)

    async def ring(self, queue: str = "default", token: str | None = None) -> httpx2.Response:
        """Post a doorbell."""
        attributes = {"kind": "doorbell", "queue": queue, "v": "1"}
        return await self.post(envelope(b"{}", attributes), token)

    def subscribe(self) -> None:
        """Let the server push what is published."""
        order = SubscriptionOrder(
            push_endpoint=self.url, push_account=ACCOUNT, push_audience=AUDIENCE
        )
        self.server.create_topic(TOPIC)
        self.server.create_subscription(SUBSCRIPTION.rpartition("/")[2], TOPIC, order)

    @property
    def statuses(self) -> dict[int, int]:
        """How the server's own pushes were answered."""
        return dict(self.server.push_statuses("headrace-jobs-push-sub"))


def envelope(
    data: bytes, attributes: dict[str, str], *, subscription: str = SUBSCRIPTION, number: int = 1
) -> bytes:
    """As Pub/Sub wraps a message."""
    message = {
        "attributes": attributes,
        "data": base64.b64encode(data).decode(),
        "messageId": str(number),
        "publishTime": "2026-03-01T12:00:00.5Z",
    }
    return json.dumps({"message": message, "subscription": subscription}).encode()


def show_failure(event: Event) -> None:
    """What the client of a 500 is not told, a test is."""
    if isinstance(event, RequestFailed):
        sys.stderr.write(event.stack)


@pytest.fixture(autouse=True)
def clean_stone() -> Iterator[None]:
    stone.free, stone.begun = None, []
    forget = add_sink(show_failure, level=Level.ERROR)
    yield
    forget()
    if stone.free is not None:
        stone.free.set()  # what a failed test left waiting ends


@pytest.fixture
def held() -> asyncio.Event:
    """Steps begin, and go on only when this is set."""
    stone.free = asyncio.Event()
    return stone.free


@pytest.fixture(scope="module")
def pubsub() -> Iterator[PubSubServer]:
    with PubSubServer() as server:
        yield server


@pytest.fixture
def server(pubsub: PubSubServer) -> PubSubServer:
    """One that knows nothing; made anew it would cost a quarter of a second of each test."""
    pubsub.restart(lose_state=True)
    return pubsub


MakeSite = Callable[..., Awaitable[Site]]


@pytest.fixture
async def make_site(database: str, server: PubSubServer) -> AsyncIterator[MakeSite]:
    """Starts push workers on the database of the test."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(
            address: str = database, *, slice_s: float = 10.0, concurrency: int = 1, **settings: str
        ) -> Site:
            given = {
                "ENV": "testing",
                "DATABASE_URL": address,
                "DOORBELL": "pubsub",
                "PUSH_AUDIENCE": AUDIENCE,
                "PUSH_SERVICE_ACCOUNT": ACCOUNT,
                "PUSH_KEYS_URL": server.certificates_url,
                "SIGNING_KEYS": SIGNING_KEY,
                "STEP_TIMEOUT_S": "10",
                **settings,
            }
            environment = {f"HEADRACE_{name}": text for name, text in given.items()}
            environment["PUBSUB_EMULATOR_HOST"] = server.address
            app = Headrace(PIPELINES, settings=load_settings(environment))
            stack.push_async_callback(app.close)
            desk = Desk(app, concurrency=concurrency, slice_s=slice_s)
            port = await stack.enter_async_context(open_push(app, desk, 0))
            number = await eventually(lambda: port.number)
            base = f"http://127.0.0.1:{number}"
            client = httpx2.AsyncClient(base_url=base, timeout=30)
            await stack.enter_async_context(client)
            working = asyncio.create_task(desk.run())

            async def stop() -> None:
                desk.stop()
                desk.stop()
                await working

            stack.push_async_callback(stop)
            return Site(app, server, desk, client, working)

        yield make


@pytest.fixture
async def site(make_site: MakeSite) -> Site:
    site = await make_site()
    await site.app.open()
    return site
