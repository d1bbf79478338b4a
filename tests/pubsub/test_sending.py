from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import orjson
import pytest

from headrace import Headrace
from headrace.broker import publisher
from headrace.broker.publisher import MOST_BYTES, Message
from headrace.broker.sending import TopicSender
from headrace.errors import BrokerUnavailableError, MessageRefusedError
from headrace.store.outbox import Outgoing, set_topic
from headrace.telemetry.messaging_events import PublishSlow
from headrace.telemetry.outbox_events import OutboxRetried
from headrace.testing import PubSubServer
from headrace.testing.pubsub import Call, Code, Fail
from tests.listening import listening
from tests.pubsub.conftest import StartWorker
from tests.pubsub.mill import Grain, grind
from tests.waiting import eventually

RESULTS = "headrace-results"
SOON = timedelta(seconds=0.1)


@pytest.fixture
async def publishing(app: Headrace) -> Headrace:
    """An app whose results are published."""
    async with app.connection() as connection:
        await set_topic(connection, "results", RESULTS)
    return app


def outgoing(number: int, *, job: UUID, size: int = 1) -> Outgoing:
    return Outgoing(
        id=number, event_id=uuid4(), kind="result", endpoint=RESULTS, payload="x" * size,
        attributes='{"kind": "result"}', ordering_key=str(job), attempts=0,
        created_at=datetime.now(UTC), tenant="default", job=job, run=1, webhook=None, url=None,
        key_generation=None, previous_until=None, topic=RESULTS,
    )  # fmt: skip


def runs_published(server: PubSubServer) -> dict[str, list[int]]:
    """The runs of each job, in the order of their results."""
    found = defaultdict(list)
    for message in server.messages(RESULTS):
        body = orjson.loads(message.data)
        assert message.ordering_key == message.attributes["job_id"] == body["job_id"]
        found[body["job_id"]].append(body["run"])
    return found


def runs_of_events(server: PubSubServer) -> dict[str, tuple[str, int]]:
    """Which run of which job each event tells of."""
    bodies = [orjson.loads(message.data) for message in server.messages(RESULTS)]
    return {body["event_id"]: (body["job_id"], body["run"]) for body in bodies}


class TestResults:
    async def test_each_end_is_published_once_under_the_key_of_its_job(
        self, publishing: Headrace, start_worker: StartWorker, server: PubSubServer
    ) -> None:
        await start_worker(publishing, relay=SOON)
        jobs = await publishing.submit_many(grind, [Grain(2)] * 20)
        for job in jobs:
            await job.result(timeout=20)
        await eventually(lambda: len(server.messages(RESULTS)) == 20)
        assert runs_published(server) == {job.id: [1] for job in jobs}
        events = {orjson.loads(message.data)["event_id"] for message in server.messages(RESULTS)}
        assert len(events) == 20


class TestQ6:
    async def test_after_an_unknown_outcome_the_same_event_comes_again(
        self, publishing: Headrace, start_worker: StartWorker, server: PubSubServer
    ) -> None:
        await start_worker(publishing, relay=SOON)
        fault = Fail(call=Call.PUBLISH, applied=True, times=1, on=RESULTS)
        with server.inject(fault):
            job = await publishing.submit(grind, Grain(2))
            await job.result(timeout=20)
            await eventually(lambda: len(server.messages(RESULTS)) == 2)
        first, second = (orjson.loads(message.data) for message in server.messages(RESULTS))
        assert first == second


class TestQ7:
    async def test_what_cannot_be_published_waits_and_keeps_its_order(
        self, publishing: Headrace, start_worker: StartWorker, server: PubSubServer
    ) -> None:
        await start_worker(publishing, relay=SOON)
        denied = Fail(call=Call.PUBLISH, code=Code.PERMISSION_DENIED, on=RESULTS)
        with server.inject(denied), listening() as told:
            jobs = await publishing.submit_many(grind, [Grain(2)] * 3)
            for run in (2, 3):
                for job in jobs:
                    await job.result(timeout=20)
                    assert await publishing.replay(job.id, force=True) == run
            await eventually(lambda: told.of(OutboxRetried))
            assert server.messages(RESULTS) == []
        await eventually(lambda: len(server.messages(RESULTS)) >= 9, within=20)
        assert runs_published(server) == {job.id: [1, 2, 3] for job in jobs}


class TestQ16:
    async def test_each_run_has_one_event_and_those_of_a_job_come_in_order_though_some_come_again(
        self, publishing: Headrace, start_worker: StartWorker, server: PubSubServer
    ) -> None:
        await start_worker(publishing, relay=SOON)
        unknown = Fail(call=Call.PUBLISH, applied=True, times=2, on=RESULTS)
        with server.inject(unknown):
            jobs = await publishing.submit_many(grind, [Grain(2)] * 5)
            for run in (2, 3):
                for job in jobs:
                    await job.result(timeout=20)
                    assert await publishing.replay(job.id, force=True) == run
            await eventually(lambda: len(runs_of_events(server)) == 15, within=20)
        assert len(server.messages(RESULTS)) > 15
        in_order = {job: list(dict.fromkeys(runs)) for job, runs in runs_published(server).items()}
        assert in_order == {job.id: [1, 2, 3] for job in jobs}
        assert len(set(runs_of_events(server).values())) == 15


class TestSender:
    async def test_what_is_never_taken_is_given_up_and_delays_nobody(
        self, app: Headrace, server: PubSubServer
    ) -> None:
        job = uuid4()
        events = [
            outgoing(1, job=job),
            outgoing(2, job=job, size=MOST_BYTES + 1),
            outgoing(3, job=job),
        ]
        outcomes = await TopicSender(app.messaging.publisher).send(events)
        assert [one.outcome for one in outcomes] == ["sent", "gone", "sent"]
        assert "more than 10,000,000 bytes" in (outcomes[1].error or "")
        assert [one.id for one in server.messages(RESULTS)] == [
            outcomes[0].message_id,
            outcomes[2].message_id,
        ]

    async def test_what_follows_one_that_may_be_taken_later_waits_for_it(
        self, app: Headrace, server: PubSubServer
    ) -> None:
        job, other = uuid4(), uuid4()
        events = [
            outgoing(1, job=job),
            outgoing(2, job=job),
            outgoing(3, job=other, size=MOST_BYTES + 1),
            outgoing(4, job=other),
        ]
        denied = Fail(call=Call.PUBLISH, code=Code.PERMISSION_DENIED, on=RESULTS, times=1)
        with server.inject(denied):
            outcomes = await TopicSender(app.messaging.publisher).send(events)
        assert [one.outcome for one in outcomes] == ["retry", "retry", "gone", "sent"]


class TestPublisher:
    async def test_a_message_that_is_not_valid_is_refused(self, app: Headrace) -> None:
        with pytest.raises(MessageRefusedError):
            await app.messaging.publisher.publish(RESULTS, [Message(b"")])

    async def test_a_topic_that_is_denied_fails_at_once(
        self, app: Headrace, server: PubSubServer
    ) -> None:
        denied = Fail(call=Call.PUBLISH, code=Code.PERMISSION_DENIED, on=RESULTS)
        with server.inject(denied), pytest.raises(BrokerUnavailableError, match=r"^permission"):
            await app.messaging.publisher.publish(RESULTS, [Message(b"x")])

    async def test_what_fails_for_a_moment_is_published_in_the_end(
        self, app: Headrace, server: PubSubServer
    ) -> None:
        with server.inject(Fail(call=Call.PUBLISH, on=RESULTS, times=1)):
            ids = await app.messaging.publisher.publish(RESULTS, [Message(b"a"), Message(b"b")])
        assert [(one.id, one.data) for one in server.messages(RESULTS)] == [
            (ids[0], b"a"),
            (ids[1], b"b"),
        ]

    def test_one_that_took_over_half_a_minute_is_told(self) -> None:
        with listening() as told:
            publisher._tell(RESULTS, 3, 29.9)
            publisher._tell(RESULTS, 3, 30.1)
        assert [event.took_s for event in told.of(PublishSlow)] == [30.1]

    async def test_it_can_be_used_again_after_its_end(
        self, app: Headrace, server: PubSubServer
    ) -> None:
        for _ in range(2):
            await app.messaging.publisher.publish(RESULTS, [Message(b"x")])
            await app.messaging.publisher.close()
        assert len(server.messages(RESULTS)) == 2
