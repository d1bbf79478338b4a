"""The faults Q1 to Q10, Q14, Q15: whatever becomes of rings, jobs run once, and they come back."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

import pytest

from headrace import Headrace
from headrace.broker.clients import open_subscriber
from headrace.client.handle import JobHandle
from headrace.telemetry.job_events import JobClaimed
from headrace.telemetry.messaging_events import DoorbellSilent
from headrace.telemetry.worker_events import ServiceFailed, ServiceRecovered
from headrace.testing import PubSubServer
from headrace.testing.pubsub import (
    Call,
    CloseStreams,
    Code,
    Delay,
    Drop,
    Duplicate,
    Fail,
    LoseAcks,
    Silence,
    Slow,
    SubscriptionOrder,
)
from headrace.worker.timing import Timing
from tests.listening import Told, listening
from tests.pubsub.conftest import SUBSCRIPTION, TOPIC, MakeApp, StartWorker
from tests.pubsub.mill import Grain, grind, stone
from tests.waiting import eventually

SOON = timedelta(seconds=0.2)
GRAIN = Grain(2)
RING = {"kind": "doorbell", "queue": "default", "v": "1"}


@pytest.fixture
async def hasty_app(make_app: MakeApp, server: PubSubServer) -> Headrace:
    """An app at whose subscription messages come back without a wait."""
    server.create_subscription(SUBSCRIPTION, server.create_topic(TOPIC))
    return await make_app()


async def submit(app: Headrace, count: int) -> list[JobHandle[int]]:
    return [await app.submit(grind, GRAIN) for _ in range(count)]


async def all_ended(jobs: list[JobHandle[int]]) -> bool:
    for job in jobs:
        assert await job.result(timeout=20) == 160
    return True


def delete_subscription(app: Headrace) -> None:
    """As somebody does who does not know what it is for."""
    access = app.messaging.access
    with open_subscriber(access) as subscriber:
        subscriber.delete_subscription(subscription=access.subscription(SUBSCRIPTION))


def claims(told: Told) -> list[int]:
    """How often each job was claimed."""
    return list(Counter(event.job_id for event in told.of(JobClaimed)).values())


class TestQ1:
    async def test_a_server_that_forgets_everything_is_set_up_again_and_nothing_is_lost(
        self, app: Headrace, start_worker: StartWorker, server: PubSubServer
    ) -> None:
        worker = await start_worker(
            app, sweep=SOON, janitor_lease=SOON, ring_again=SOON, restart_most=SOON * 3
        )
        await all_ended(await submit(app, 1))
        server.stop()
        jobs = await submit(app, 3)
        server.start(lose_state=True)
        # Nobody polls within the hour: the sweep's rings find what was submitted meanwhile.
        assert await all_ended(jobs)
        assert await all_ended(await submit(app, 1))
        await eventually(lambda: not worker.obstacles())


class TestQ2:
    async def test_while_it_is_down_jobs_are_accepted_and_found_by_polling(
        self, app: Headrace, start_worker: StartWorker, server: PubSubServer
    ) -> None:
        worker = await start_worker(app, poll=SOON)
        with server.outage():
            assert await all_ended(await submit(app, 5))
            assert worker.obstacles() == ()
        await eventually(lambda: server.streams(SUBSCRIPTION) == 1, within=20)

    async def test_with_the_usual_durations_a_job_starts_within_half_a_minute(
        self, app: Headrace, start_worker: StartWorker, server: PubSubServer
    ) -> None:
        with server.frozen():
            await start_worker(app, poll=Timing().poll)
            [job] = await submit(app, 1)
            assert await job.result(timeout=30) == 160


class TestQ3:
    async def test_of_two_workers_with_the_same_ring_one_claims_and_both_acknowledge(
        self, make_app: MakeApp, app: Headrace, start_worker: StartWorker, server: PubSubServer
    ) -> None:
        for each in (app, await make_app()):
            await start_worker(each)
        await eventually(lambda: server.streams(SUBSCRIPTION) == 2)
        with server.inject(Duplicate(copies=3)), listening() as told:
            assert await all_ended(await submit(app, 20))
            await eventually(lambda: server.backlog(SUBSCRIPTION) == 0)
        assert claims(told) == [1] * 20
        assert server.counts(SUBSCRIPTION).acked >= 4


class TestQ4:
    async def test_a_ring_that_returns_while_its_job_runs_starts_nothing(
        self, hasty_app: Headrace, start_worker: StartWorker, server: PubSubServer,
        held: asyncio.Event,
    ) -> None:  # fmt: skip
        app = hasty_app
        await start_worker(app)
        with server.inject(LoseAcks()):
            [job] = await submit(app, 1)
            await eventually(lambda: server.counts(SUBSCRIPTION).lost_acks == 1)
            server.expire_leases(SUBSCRIPTION)
            await eventually(lambda: server.counts(SUBSCRIPTION).delivered == 2, within=20)
        assert stone.begun == 1
        held.set()
        assert await job.result(timeout=10) == 160
        assert stone.begun == 1


class TestQ5:
    async def test_an_acknowledgement_whose_answer_is_lost_costs_nothing(
        self, hasty_app: Headrace, start_worker: StartWorker, server: PubSubServer
    ) -> None:
        app = hasty_app
        await start_worker(app)
        lost = Fail(call=Call.ACKNOWLEDGE, applied=True, share=0.7)
        with server.inject(lost), listening() as told:
            assert await all_ended(await submit(app, 10))
        assert claims(told) == [1] * 10
        await eventually(lambda: server.backlog(SUBSCRIPTION) == 0, within=20)


class TestQ6:
    async def test_a_ring_that_is_published_twice_makes_one_job(
        self, app: Headrace, start_worker: StartWorker, server: PubSubServer
    ) -> None:
        await start_worker(app)
        with (
            server.inject(Fail(call=Call.PUBLISH, applied=True, times=1)),
            listening() as told,
        ):
            assert await all_ended(await submit(app, 1))
            await eventually(lambda: len(server.messages(TOPIC)) == 2)
        assert claims(told) == [1]


class TestQ8:
    async def test_streams_that_are_closed_all_the_time_are_opened_again(
        self, app: Headrace, start_worker: StartWorker, server: PubSubServer
    ) -> None:
        worker = await start_worker(app)
        for code in (Code.UNAVAILABLE, None):
            with server.inject(CloseStreams(every=SOON * 2, code=code)):
                for _ in range(3):
                    assert await all_ended(await submit(app, 2))
        server.reset_connections()
        assert await all_ended(await submit(app, 2))
        assert worker.obstacles() == ()


class TestQ9:
    async def test_a_stream_that_says_nothing_though_there_is_work_is_opened_again(
        self, app: Headrace, start_worker: StartWorker, server: PubSubServer
    ) -> None:
        await start_worker(app, poll=SOON, silence=SOON * 2)
        calls = server.calls()[Call.STREAMING_PULL]
        with server.inject(Silence()), listening() as told:
            assert await all_ended(await submit(app, 1))
            await eventually(lambda: told.of(DoorbellSilent))
            await eventually(lambda: server.calls()[Call.STREAMING_PULL] > calls)
        await eventually(lambda: server.backlog(SUBSCRIPTION) == 0)

    async def test_silence_without_work_is_none(
        self, app: Headrace, start_worker: StartWorker
    ) -> None:
        with listening() as told:
            worker = await start_worker(app, poll=SOON, silence=SOON)
            await asyncio.sleep(1.5)  # several looks
            assert told.of(DoorbellSilent) == []
            assert worker.obstacles() == ()


class TestQ10:
    async def test_without_permission_a_worker_says_so_and_polls(
        self, app: Headrace, start_worker: StartWorker, server: PubSubServer
    ) -> None:
        denied = Fail(call=Call.STREAMING_PULL, code=Code.PERMISSION_DENIED)
        with server.inject(denied), listening() as told:
            worker = await start_worker(app, poll=SOON, restart_most=SOON * 3)
            await eventually(worker.obstacles)
            reason = "permission denied for subscription headrace-jobs-sub"
            assert worker.obstacles() == (f"the doorbell does not work: {reason}",)
            assert await all_ended(await submit(app, 3))
        assert len(told.of(ServiceFailed)) == 1
        with listening() as told:
            await eventually(lambda: told.of(ServiceRecovered))
        assert worker.obstacles() == ()

    async def test_a_subscription_that_is_deleted_does_not_end_the_listening(
        self, app: Headrace, start_worker: StartWorker, server: PubSubServer
    ) -> None:
        worker = await start_worker(app, poll=SOON, restart_most=SOON * 3)
        await eventually(lambda: server.streams(SUBSCRIPTION) == 1)
        with listening() as told:
            delete_subscription(app)
            assert await all_ended(await submit(app, 3))
            await eventually(lambda: told.of(ServiceFailed), within=20)
            await eventually(lambda: told.of(ServiceRecovered), within=20)
        await eventually(lambda: server.streams(SUBSCRIPTION) == 1)  # the server sees it later
        assert worker.obstacles() == ()


class TestQ14:
    async def test_a_burst_is_taken_a_few_at_a_time(
        self, app: Headrace, start_worker: StartWorker, server: PubSubServer
    ) -> None:
        for _ in range(1_000):
            server.publish(TOPIC, b"{}", RING)
        await start_worker(app, concurrency=5)
        in_hand = []

        def is_done() -> bool:
            counts = server.counts(SUBSCRIPTION)
            in_hand.append(counts.delivered - counts.acked)
            return server.backlog(SUBSCRIPTION) == 0

        await eventually(is_done, within=30)
        assert max(in_hand) <= 5
        assert await all_ended(await submit(app, 1))


class TestQ15:
    async def test_an_acknowledgement_that_is_refused_for_good_is_not_tried_for_ever(
        self, make_app: MakeApp, start_worker: StartWorker, server: PubSubServer
    ) -> None:
        order = SubscriptionOrder(is_exactly_once=True)
        server.create_subscription(SUBSCRIPTION, server.create_topic(TOPIC), order)
        app = await make_app()
        await start_worker(app)
        late = Slow(call=Call.ACKNOWLEDGE, by=SOON * 5, times=1)
        with server.inject(late), listening() as told:
            [job] = await submit(app, 1)
            await eventually(lambda: server.calls()[Call.ACKNOWLEDGE] == 1)
            server.expire_leases(SUBSCRIPTION)  # it comes again, under another id
            assert await job.result(timeout=20) == 160
            await eventually(lambda: server.backlog(SUBSCRIPTION) == 0, within=20)
            await eventually(lambda: server.counts(SUBSCRIPTION).late_acks == 1)
            assert await all_ended(await submit(app, 5))
            await eventually(lambda: server.backlog(SUBSCRIPTION) == 0)
        counts = server.counts(SUBSCRIPTION)
        assert (counts.late_acks, counts.delivered) == (1, counts.acked + 1)
        assert claims(told) == [1] * 6


class TestTogether:
    async def test_what_is_doubled_late_or_lost_delays_jobs_and_nothing_else(
        self, make_app: MakeApp, app: Headrace, start_worker: StartWorker, server: PubSubServer
    ) -> None:
        for each in (app, await make_app()):
            await start_worker(each, poll=SOON * 5)
        with (
            server.inject(Duplicate(share=0.2)),
            server.inject(Delay(share=0.2, by=SOON)),
            server.inject(Drop(share=0.1)),
            listening() as told,
        ):
            assert await all_ended(await submit(app, 100))
        assert claims(told) == [1] * 100
