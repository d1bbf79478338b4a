from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import Any, cast

import orjson
import pytest

from headrace import Headrace
from headrace.broker.pubsub import PubSubBroker
from headrace.broker.stream import PubSubDoorbell
from headrace.errors import BrokerUnavailableError
from headrace.store.pool import connect
from headrace.store.session import ENGINE_SETTINGS, Session
from headrace.telemetry.messaging_events import (
    MessageReturned,
    MessageSettled,
    MessagesPublished,
    RingsLost,
    RingsResumed,
)
from headrace.telemetry.worker_events import WorkerStarted
from headrace.testing import PubSubServer
from headrace.testing.pubsub import RefusedError
from headrace.web.service.monitor import Monitor
from headrace.web.service.recorded import recorded
from headrace.worker.reaper import Reaper
from headrace.worker.timing import Timing
from tests.engine_rows import RULES, Rows
from tests.listening import listening
from tests.pubsub.conftest import SUBSCRIPTION, TOPIC, MakeApp, StartWorker
from tests.pubsub.mill import Grain, grind, stone
from tests.waiting import eventually, promptly, pulsing

GRAIN = Grain(2)
NOBODY = cast("Any", None)
"""Who comes to an API: not asked here."""


def broker_of(app: Headrace) -> dict[str, Any]:
    """What `/ready?deep=true` tells of the broker."""
    return recorded(Monitor(app, mode="api"), NOBODY)["broker"]


class TestRing:
    async def test_it_is_small_and_says_where_to_look(
        self, app: Headrace, server: PubSubServer
    ) -> None:
        await app.submit(grind, GRAIN)
        await eventually(lambda: server.messages(TOPIC))
        [ring] = server.messages(TOPIC)
        assert ring.attributes == {"kind": "doorbell", "queue": "default", "v": "1"}
        assert orjson.loads(ring.data).keys() == {"queue", "sent_at"}
        assert len(ring.data) + sum(len(f"{item}") for item in ring.attributes.items()) < 1_024

    async def test_ten_due_jobs_share_one(self, app: Headrace, server: PubSubServer) -> None:
        await app.submit_many(grind, [GRAIN] * 95)
        await app.close()
        assert len(server.messages(TOPIC)) == 10

    async def test_so_do_jobs_with_keys(self, app: Headrace, server: PubSubServer) -> None:
        keys = [f"key {number}" for number in range(25)]
        await app.submit_many(grind, [GRAIN] * 25, idempotency_keys=keys)
        await app.close()
        assert len(server.messages(TOPIC)) == 3

    async def test_what_is_stored_while_one_is_sent_follows_at_once(
        self, app: Headrace, server: PubSubServer
    ) -> None:
        with listening() as told:
            with server.frozen():
                for _ in range(12):
                    await app.submit(grind, GRAIN)
            await app.close()
        assert [event.messages for event in told.of(MessagesPublished)] == [1, 2]

    async def test_nothing_waits_while_the_server_is_down_and_it_is_told_once(
        self, app: Headrace, server: PubSubServer
    ) -> None:
        with listening() as told:
            with server.outage():
                for _ in range(3):
                    async with pulsing() as pulse:
                        await app.submit(grind, GRAIN)
                    assert pulse.seconds < 1
                await eventually(lambda: told.of(RingsLost), within=20)
                assert broker_of(app)["status"] == "degraded"
            await app.submit(grind, GRAIN)
            await eventually(lambda: told.of(RingsResumed), within=20)
        assert len(told.of(RingsLost)) == 1
        assert broker_of(app)["status"] == "ok"

    async def test_a_new_run_and_an_opened_queue_are_rung_for(
        self, app: Headrace, server: PubSubServer
    ) -> None:
        job = await app.submit(grind, GRAIN)
        await job.cancel()
        await app.pause_queue("default")
        await eventually(lambda: len(server.messages(TOPIC)) == 1)
        await app.retry(job.id)
        await eventually(lambda: len(server.messages(TOPIC)) == 2)
        await app.resume_queue("default")
        await eventually(lambda: len(server.messages(TOPIC)) == 3)

    async def test_no_more_than_a_hundred_leave_at_once(
        self, app: Headrace, server: PubSubServer
    ) -> None:
        broker = PubSubBroker(app.messaging.publisher, TOPIC)
        with listening() as told:
            broker.ring("default", 100_000)
            await broker.close()
        assert [event.messages for event in told.of(MessagesPublished)] == [100]
        assert len(server.messages(TOPIC)) == 100


class TestAnswer:
    async def test_a_ring_alone_starts_a_job(
        self, app: Headrace, start_worker: StartWorker
    ) -> None:
        with listening() as told:
            await start_worker(app)
            job = await app.submit(grind, GRAIN)
            assert await job.result(timeout=10) == 160
        assert [event.doorbell for event in told.of(WorkerStarted)] == ["pubsub"]

    async def test_it_is_acknowledged_after_the_claim_while_the_job_runs(
        self, app: Headrace, start_worker: StartWorker, server: PubSubServer, held: asyncio.Event
    ) -> None:
        await start_worker(app)
        job = await app.submit(grind, GRAIN)
        await promptly(lambda: server.counts(SUBSCRIPTION).acked == 1, within=3)
        await eventually(lambda: stone.begun == 1)
        held.set()
        await job.result(timeout=10)
        assert server.counts(SUBSCRIPTION).delivered == 1

    async def test_a_full_worker_acknowledges_and_leaves_the_jobs(
        self, app: Headrace, start_worker: StartWorker, server: PubSubServer, held: asyncio.Event
    ) -> None:
        await start_worker(app, concurrency=1)
        first = await app.submit(grind, GRAIN)
        await eventually(lambda: stone.begun == 1)
        second = await app.submit(grind, GRAIN)
        await promptly(lambda: server.counts(SUBSCRIPTION).acked == 2, within=3)
        assert (await second.status()).state == "queued"
        held.set()
        assert await first.result(timeout=10) == await second.result(timeout=10)

    async def test_work_that_is_left_is_rung_for_once_more(
        self, make_app: MakeApp, app: Headrace, start_worker: StartWorker, held: asyncio.Event
    ) -> None:
        for each in (app, await make_app()):
            await start_worker(each, concurrency=1)
        jobs = await app.submit_many(grind, [GRAIN] * 2)  # one ring, to one of the workers
        await eventually(lambda: stone.begun == 2)
        held.set()
        for job in jobs:
            await job.result(timeout=10)

    async def test_rings_end_when_all_are_full(
        self, app: Headrace, start_worker: StartWorker, server: PubSubServer, held: asyncio.Event
    ) -> None:
        await start_worker(app, concurrency=1)
        await app.submit_many(grind, [GRAIN] * 3)
        await eventually(lambda: server.counts(SUBSCRIPTION).acked == 2)
        await eventually(lambda: server.backlog(SUBSCRIPTION) == 0)
        assert len(server.messages(TOPIC)) == 2
        held.set()
        await eventually(lambda: stone.begun == 3)

    async def test_a_ring_for_another_queue_is_acknowledged(
        self, app: Headrace, start_worker: StartWorker, server: PubSubServer
    ) -> None:
        await start_worker(app)
        server.publish(TOPIC, b"{}", {"kind": "doorbell", "queue": "other", "v": "1"})
        await eventually(lambda: server.counts(SUBSCRIPTION).acked == 1)

    async def test_what_is_no_ring_comes_back_later_and_is_told(
        self, app: Headrace, start_worker: StartWorker, server: PubSubServer
    ) -> None:
        with listening() as told:
            await start_worker(app)
            server.publish(TOPIC, b"{}", {"kind": "job", "v": "1"})
            server.publish(TOPIC, b"\xff")
            await eventually(lambda: len(told.of(MessageReturned)) == 2)
            job = await app.submit(grind, GRAIN)
            await job.result(timeout=10)
            await eventually(lambda: len(told.of(MessageSettled)) == 3)
        outcomes = sorted(event.outcome for event in told.of(MessageSettled))
        assert outcomes == ["returned", "returned", "rung"]
        assert server.counts(SUBSCRIPTION).delivered == 3
        assert server.backlog(SUBSCRIPTION) == 2

    async def test_a_worker_that_drains_hears_no_more(
        self, app: Headrace, start_worker: StartWorker, server: PubSubServer, held: asyncio.Event
    ) -> None:
        worker = await start_worker(app)
        job = await app.submit(grind, GRAIN)
        await eventually(lambda: stone.begun == 1)
        worker.stop()
        await eventually(lambda: server.streams(SUBSCRIPTION) == 0)
        assert (await job.status()).state == "running"
        held.set()


class TestHandedBack:
    async def test_others_are_rung_for_what_a_worker_hands_back(
        self, make_app: MakeApp, app: Headrace, start_worker: StartWorker, held: asyncio.Event
    ) -> None:
        first = await start_worker(app)
        jobs = await app.submit_many(grind, [GRAIN] * 2)
        await eventually(lambda: stone.begun == 2)
        await start_worker(await make_app())
        first.stop()
        first.stop()
        await eventually(lambda: stone.begun == 4)
        held.set()
        for job in jobs:
            await job.result(timeout=10)

    async def test_jobs_of_a_dead_worker_are_rung_for(self, database: str) -> None:
        rows = await Rows.open(database)
        await rows.claimed(3)
        await rows.wait(timedelta(seconds=31))
        heard: list[tuple[str, int]] = []
        session = Session(lambda: connect(database, settings=ENGINE_SETTINGS))
        quick = Timing().scaled(1 / 30)
        reaper = Reaper(session, 99, quick, RULES, echo=lambda *ring: heard.append(ring))
        reaper.start()
        await eventually(lambda: heard == [("default", 3)])
        await reaper.stop()
        session.close()
        await rows.close()


class TestMissing:
    async def test_an_emulator_gets_its_topics_when_they_are_missed(
        self, make_app: MakeApp, start_worker: StartWorker, server: PubSubServer
    ) -> None:
        app = await make_app()
        worker = await start_worker(app)
        job = await app.submit(grind, GRAIN)
        await eventually(lambda: is_heard(server) and not worker.obstacles())
        assert await (await app.submit(grind, GRAIN)).result(timeout=10) == 160
        assert await job.result(timeout=10) == 160

    async def test_elsewhere_a_missing_subscription_is_told(self, app: Headrace) -> None:
        async def repair() -> bool:
            return False

        doorbell = PubSubDoorbell(
            app.messaging.access, "nowhere", ack_deadline=timedelta(seconds=60),
            most_bytes=1_000_000, repair=repair,
        )  # fmt: skip

        async def answer(_: str) -> None:
            raise AssertionError("there is nothing to hear")

        async with doorbell.open(answer, slots=1) as hearing:
            with pytest.raises(BrokerUnavailableError, match="no subscription nowhere"):
                await asyncio.wait_for(hearing.ended(), 10)


def is_heard(server: PubSubServer) -> bool:
    """Whether somebody listens, at a subscription that may not be there."""
    with contextlib.suppress(RefusedError):
        return server.streams(SUBSCRIPTION) == 1
    return False
