"""Jobs submitted by message: faults Q3, Q5, Q11, Q12, Q16, Q17, and the database away."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from headrace import Headrace
from headrace.telemetry.messaging_events import MessageReturned, MessageSettled
from headrace.testing import PubSubServer
from headrace.testing.pubsub import Duplicate, LoseAcks, SubscriptionOrder
from tests.listening import listening
from tests.proxy import Proxy, proxy_to
from tests.pubsub.conftest import SUBSCRIPTION, TOPIC, MakeApp, StartWorker
from tests.pubsub.mailing import KEYS, aside, first_job, jobs, outcomes, register, send
from tests.waiting import eventually

OWN = f"{SUBSCRIPTION}-inbox"
UNDELIVERABLE = "headrace-undeliverable"


@pytest.fixture
async def mill(make_app: MakeApp) -> Headrace:
    """An app that takes jobs by message, beside its rings."""
    app = await make_app(**KEYS)
    await app.messaging.set_up()
    return app


@pytest.fixture
async def away(database: str) -> AsyncIterator[Proxy]:
    """Between an app and its database."""
    async with proxy_to(database) as proxy:
        yield proxy


class TestIntake:
    async def test_a_message_becomes_a_job_that_is_rung_for_and_runs(
        self, mill: Headrace, start_worker: StartWorker, server: PubSubServer
    ) -> None:
        secret = await register(mill)
        await start_worker(mill)
        send(server, TOPIC, secret, metadata={"book": 7})
        job = mill.job(await first_job(mill))
        assert await job.result(timeout=10) == 160
        assert (await job.status()).owner == "orders"

    async def test_in_a_subscription_of_its_own_whatever_the_doorbell(
        self, make_app: MakeApp, start_worker: StartWorker, server: PubSubServer
    ) -> None:
        app = await make_app(**KEYS, INBOX="own", DOORBELL="listen")
        await app.messaging.set_up(filtered=True)
        secret = await register(app)
        worker = await start_worker(app)
        server.publish(TOPIC, b"{}", {"kind": "doorbell", "queue": "default", "v": "1"})
        send(server, TOPIC, secret)
        job = app.job(await first_job(app))
        assert await job.result(timeout=10) == 160
        await eventually(lambda: server.counts(OWN).acked == 1)
        assert (server.streams(SUBSCRIPTION), server.streams(OWN)) == (0, 1)
        assert worker.obstacles() == ()

    async def test_a_worker_without_the_pipeline_leaves_it_to_others(
        self, mill: Headrace, start_worker: StartWorker, server: PubSubServer
    ) -> None:
        secret, _ = await mill.sources.create(
            "shop", tenant="acme", owner="orders", pipelines=["*"], by="test"
        )
        async with mill.connection() as connection:
            await connection.execute(
                "insert into headrace.pipelines values ('elsewhere', '1', 'x', '{}')"
            )
        with listening() as told:
            await start_worker(mill)
            send(server, TOPIC, secret, pipeline="elsewhere")
            await eventually(lambda: outcomes(told) == {"returned": 1})
        assert [one.reason for one in told.of(MessageReturned)] == [
            "other workers carry its pipeline"
        ]
        assert await aside(mill) == []
        assert server.backlog(SUBSCRIPTION) == 1


class TestCounters:
    async def test_q3_q5_q11_q12_each_delivery_has_one_outcome_and_they_add_up(
        self, mill: Headrace, make_app: MakeApp, start_worker: StartWorker, server: PubSubServer
    ) -> None:
        secret = await register(mill)
        with listening() as told:
            for each in (mill, await make_app(**KEYS)):
                await start_worker(each)
            await eventually(lambda: server.streams(SUBSCRIPTION) == 2)
            with server.inject(Duplicate(copies=3)):  # to both of them
                for number in range(10):
                    send(server, TOPIC, secret, id=f"order-{number}")
                for payload in ({"sacks": "many"}, {}, 7):
                    send(server, TOPIC, secret, payload=payload)
                server.publish(TOPIC, b"\xff")
                server.publish(TOPIC, b" " * 9_000_000, {"kind": "job", "v": "1"})
                await eventually(lambda: outcomes(told).total() == 15 * 4 - 4, within=30)
                await eventually(lambda: server.backlog(SUBSCRIPTION) == 0)
        stored = await jobs(mill)
        assert len(stored) == 10
        for job in stored:
            await mill.job(job).result(timeout=10)
        settled = outcomes(told)
        assert settled["inserted"] == 10
        assert settled["duplicate"] + settled["stale"] == 30
        assert settled["quarantined"] == 16
        assert outcomes(told, "other") == {"quarantined": 4}
        assert len(await aside(mill)) == 5
        assert server.counts(SUBSCRIPTION).delivered == len(told.of(MessageSettled))

    async def test_q12_a_message_from_long_ago_is_stale(
        self, mill: Headrace, start_worker: StartWorker, server: PubSubServer
    ) -> None:
        secret = await register(mill)
        with listening() as told:
            await start_worker(mill)
            send(server, TOPIC, secret, id="order-7")
            job = await first_job(mill)
            await mill.job(job).result(timeout=10)
            send(server, TOPIC, secret, id="order-7")
            await eventually(lambda: outcomes(told) == {"inserted": 1, "stale": 1})
        assert await jobs(mill) == [job]


class TestQ16:
    async def test_with_ordering_keys_the_database_keeps_one_job_for_each(
        self, make_app: MakeApp, start_worker: StartWorker, server: PubSubServer
    ) -> None:
        order = SubscriptionOrder(is_ordered=True)
        server.create_subscription(SUBSCRIPTION, server.create_topic(TOPIC), order)
        app = await make_app(**KEYS)
        secret = await register(app)
        with listening() as told, server.inject(LoseAcks(times=3)):
            await start_worker(app)
            for number in range(6):
                send(server, TOPIC, secret, id=f"order-{number}", ordering_key="a customer")
            await eventually(lambda: outcomes(told)["inserted"] == 6)
            await eventually(lambda: server.counts(SUBSCRIPTION).lost_acks >= 1)
            server.expire_leases(SUBSCRIPTION)
            await eventually(lambda: server.backlog(SUBSCRIPTION) == 0, within=30)
        assert len(await jobs(app)) == 6


class TestKilled:
    async def test_what_was_stored_and_not_acknowledged_is_a_duplicate(
        self, make_app: MakeApp, start_worker: StartWorker, server: PubSubServer
    ) -> None:
        server.create_subscription(SUBSCRIPTION, server.create_topic(TOPIC))
        app = await make_app(**KEYS)
        secret = await register(app)
        with listening() as told:
            with server.inject(LoseAcks()):  # as if it had died before
                await start_worker(app)
                send(server, TOPIC, secret)
                job = await first_job(app)
                await eventually(lambda: server.counts(SUBSCRIPTION).lost_acks >= 1)
            server.expire_leases(SUBSCRIPTION)
            await eventually(lambda: outcomes(told).total() == 2, within=30)
        assert outcomes(told)["inserted"] == 1
        assert await jobs(app) == [job]


class TestDatabaseAway:
    async def test_intake_pauses_and_nothing_is_lost(
        self, make_app: MakeApp, start_worker: StartWorker, server: PubSubServer, away: Proxy
    ) -> None:
        # At this subscription messages come back at once: only a pause keeps them from spinning.
        server.create_subscription(SUBSCRIPTION, server.create_topic(TOPIC))
        app = await make_app(**KEYS, DATABASE_URL=away.address)
        secret = await register(app)
        with listening() as told:
            await start_worker(app)
            away.refuse()
            away.cut()
            for number in range(20):
                send(server, TOPIC, secret, id=f"order-{number}")
            await eventually(lambda: outcomes(told)["returned"] >= 1)
            await eventually(lambda: server.streams(SUBSCRIPTION) == 0)
            with pytest.raises(AssertionError):  # for a second, in which it would spin
                await eventually(lambda: server.streams(SUBSCRIPTION) > 0, within=1)
            away.accept()
            server.expire_leases(SUBSCRIPTION)  # of what was on its way when the stream was shut
            await eventually(lambda: outcomes(told)["inserted"] == 20, within=30)
        assert len(await jobs(app)) == 20
        assert {one.reason for one in told.of(MessageReturned)} == {"the database does not answer"}


class TestUndeliverable:
    async def test_q17_the_normal_way_first_rings_are_dropped_and_the_rest_is_there_once(
        self, mill: Headrace, start_worker: StartWorker, server: PubSubServer
    ) -> None:
        secret, _ = await mill.sources.create(
            "shop", tenant="acme", owner="orders", pipelines=["*"], by="test"
        )
        async with mill.connection() as connection:
            await connection.execute(
                "insert into headrace.pipelines values ('elsewhere', '1', 'x', '{}')"
            )
        twice = UNDELIVERABLE
        for _ in range(2):  # as Pub/Sub may do
            send(server, twice, secret, id="good")
            send(server, twice, secret, id="elsewhere", pipeline="elsewhere")
        server.publish(twice, b"{}", {"kind": "doorbell", "queue": "default", "v": "1"})
        with listening() as told:
            await start_worker(mill)
            await eventually(lambda: server.backlog(f"{twice}-sub") == 0, within=20)
        assert len(await jobs(mill)) == 1
        assert {one.reason for one in await aside(mill)} == {"undeliverable"}
        assert outcomes(told, "doorbell")["stale"] == 1
        assert outcomes(told)["quarantined"] == 2
