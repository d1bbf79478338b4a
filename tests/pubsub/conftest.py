"""Apps, workers and a Pub/Sub server: real gRPC, real database, Google's own client."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from headrace import Headrace
from headrace.settings import load_settings
from headrace.testing import PubSubServer
from headrace.worker.timing import Timing
from headrace.worker.worker import Worker
from tests.pubsub.mill import grind, stone

HOUR = timedelta(hours=1)
SUBSCRIPTION = "headrace-jobs-sub"
TOPIC = "headrace-jobs"

MakeApp = Callable[..., Awaitable[Headrace]]
StartWorker = Callable[..., Awaitable[Worker]]


@pytest.fixture
def held() -> Iterator[asyncio.Event]:
    """Jobs begin and go on only when this is set."""
    free = stone.free = asyncio.Event()
    stone.begun = 0
    yield free
    stone.free = None
    free.set()  # what a failed test left waiting ends


@pytest.fixture
def server() -> Iterator[PubSubServer]:
    with PubSubServer(least_ack_deadline=timedelta(seconds=1)) as server:
        yield server


@pytest.fixture
async def make_app(database: str, server: PubSubServer) -> AsyncIterator[MakeApp]:
    """Opens apps on the database of the test, whose doorbell is the server."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(**settings: str) -> Headrace:
            given = {"ENV": "testing", "DATABASE_URL": database, "DOORBELL": "pubsub"} | settings
            environment = {f"HEADRACE_{name}": text for name, text in given.items()}
            environment["PUBSUB_EMULATOR_HOST"] = server.address
            app = Headrace([grind], settings=load_settings(environment))
            return await stack.enter_async_context(app)

        yield make


@pytest.fixture
async def app(make_app: MakeApp) -> Headrace:
    """An app whose topics and subscriptions are there."""
    app = await make_app()
    await app.messaging.set_up()
    return app


@pytest.fixture
async def start_worker() -> AsyncIterator[StartWorker]:
    """Starts workers that wait for a ring for an hour, where a test says nothing else."""
    running: list[tuple[Worker, asyncio.Task[Any]]] = []

    async def start(app: Headrace, *, concurrency: int = 10, **durations: timedelta) -> Worker:
        timing = replace(Timing(), **{"poll": HOUR, "sweep": HOUR} | durations)
        worker = app.worker(concurrency=concurrency, timing=timing)
        running.append((worker, asyncio.create_task(worker.run())))
        await worker.started.wait()
        assert worker.life is not None
        await worker.life.claimer.idle.wait()  # it has looked: only a ring lets it look again
        return worker

    yield start
    for worker, _ in running:
        worker.stop()
    await asyncio.gather(*(task for _, task in running))
