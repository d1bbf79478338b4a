"""What waits in the outbox is sent: each event at least once, under one id, whatever happens."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest
import pytest_asyncio

from headrace.store.databases import fresh_database
from headrace.store.failpoints import VARIABLE
from headrace.store.outbox import Delivery, Outgoing, set_topic
from headrace.store.pool import connect
from headrace.store.session import ENGINE_SETTINGS, Session
from headrace.telemetry.events import Event, Level, add_sink
from headrace.telemetry.outbox_events import (
    OutboxCaughtUp,
    OutboxDelayed,
    OutboxGivenUp,
    OutboxPublished,
    OutboxRetried,
    WebhookDisabled,
)
from headrace.worker.courier import BATCH, WEBHOOK_WAITS, Courier
from headrace.worker.relay import Relay, Relayed, relay_once
from headrace.worker.timing import Timing
from tests.engine_rows import Rows
from tests.store.test_outbox import AS_NEW, subscribe
from tests.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

SENT: Final = Delivery.sent("message")
CANARY: Final = "sk-live0123456789abcdef0123456789"
TIMING: Final = Timing(relay=timedelta(milliseconds=20))


class Receivers:
    """A sender that keeps what it was given, and answers as each endpoint is told to."""

    def __init__(self) -> None:
        self.got: list[Outgoing] = []
        self.calls: list[tuple[str, int]] = []
        self.answers: dict[str, Callable[[Outgoing], Delivery]] = {}
        self.closed: set[str] = set()
        self.open = asyncio.Event()
        self.under_way: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.is_closed = False

    async def send(self, events: Sequence[Outgoing]) -> Sequence[Delivery]:
        endpoint = events[0].endpoint
        self.calls.append((endpoint, len(events)))
        self.got += events
        self.under_way[endpoint] += len(events)
        self.most[endpoint] = max(self.most[endpoint], self.under_way[endpoint])
        try:
            if endpoint in self.closed:
                await self.open.wait()
            return [self.answers.get(endpoint, lambda _: SENT)(event) for event in events]
        finally:
            self.under_way[endpoint] -= len(events)

    async def close(self) -> None:
        self.is_closed = True

    def ids(self, endpoint: str | None = None) -> list[UUID]:
        return [one.event_id for one in self.got if endpoint in {None, one.endpoint}]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address(database_server: str, template: str) -> AsyncIterator[str]:
    async with fresh_database(database_server, template) as address:
        yield address


@pytest_asyncio.fixture(loop_scope="module")
async def rows(address: str) -> AsyncIterator[Rows]:
    rows = await Rows.open(address)
    await rows.connection.execute(AS_NEW)
    yield rows
    await rows.close()


@pytest_asyncio.fixture(loop_scope="module")
async def session(address: str) -> AsyncIterator[Session]:
    session = Session(lambda: connect(address, name="relay", settings=ENGINE_SETTINGS))
    yield session
    session.close()


@pytest.fixture
def receivers() -> Receivers:
    return Receivers()


@pytest.fixture
def events() -> Iterator[list[Event]]:
    told: list[Event] = []
    kinds = [OutboxCaughtUp, OutboxDelayed, OutboxGivenUp, OutboxPublished, OutboxRetried]
    remove = add_sink(told.append, level=Level.DEBUG, kinds=[*kinds, WebhookDisabled])
    yield told
    remove()


async def once(
    session: Session, receivers: Receivers, *, limit: int = 100_000, seconds: float = 10
) -> Relayed:
    senders = {"webhook": receivers, "topic": receivers}
    return await relay_once(session, senders, limit=limit, seconds=seconds)


async def fill(rows: Rows, webhook: UUID, count: int) -> None:
    """So many events for a webhook, as the trigger writes them."""
    await rows.connection.execute(
        "insert into headrace.outbox (webhook, endpoint, kind, payload, tenant)"
        " select id, endpoint, 'job.completed', '{}', tenant from headrace.webhooks,"
        " generate_series(1, $2) where id = $1",
        webhook,
        count,
    )


async def finished(rows: Rows, count: int = 1) -> list[UUID]:
    claims = await rows.claimed(count)
    for claim in claims:
        await rows.end(claim)
    return [claim["id"] for claim in claims]


async def event(rows: Rows) -> Any:  # noqa: ANN401 - a row
    return await rows.connection.fetchrow("select * from headrace.outbox")


class TestSending:
    async def test_what_happened_is_sent_and_marked(
        self, rows: Rows, session: Session, receivers: Receivers, events: list[Event]
    ) -> None:
        webhook = await subscribe(rows, url="https://a.example/x")
        (job,) = await finished(rows)
        assert await once(session, receivers) == Relayed(1, 0, 0, complete=True)
        (sent,) = receivers.got
        row = await event(rows)
        assert (sent.webhook, sent.url, sent.job) == (webhook, "https://a.example/x", job)
        assert (sent.endpoint, sent.event_id) == ("https://a.example", row["event_id"])
        assert (row["sent_at"] is not None, row["message_id"]) == (True, "message")
        (told,) = events
        assert isinstance(told, OutboxPublished)
        assert (told.channel, told.event_id, told.attempts) == ("webhook", row["event_id"], 1)

    async def test_what_was_sent_is_not_sent_again(
        self, rows: Rows, session: Session, receivers: Receivers
    ) -> None:
        await subscribe(rows)
        await finished(rows)
        for _ in range(2):
            await once(session, receivers)
        assert len(receivers.got) == 1

    async def test_it_takes_no_more_than_it_may(
        self, rows: Rows, session: Session, receivers: Receivers
    ) -> None:
        await fill(rows, await subscribe(rows), 30)
        assert await once(session, receivers, limit=7) == Relayed(7, 0, 0, complete=False)
        assert await once(session, receivers) == Relayed(23, 0, 0, complete=True)

    async def test_it_ends_in_time_and_gives_back_what_was_under_way(
        self, rows: Rows, session: Session, receivers: Receivers
    ) -> None:
        await finished_for(rows, receivers, "https://stuck.example")
        assert await once(session, receivers, seconds=0.2) == Relayed(0, 0, 0, complete=False)
        receivers.closed.clear()
        assert (await once(session, receivers)).sent == 1
        first, second = receivers.ids()
        assert first == second

    async def test_a_topic_gets_batches_in_the_order_of_its_jobs(
        self, rows: Rows, session: Session, receivers: Receivers
    ) -> None:
        await set_topic(rows.connection, "results", "results")
        jobs = await finished(rows, 5)
        await once(session, receivers)
        assert receivers.calls == [("results", 5)]
        assert [one.job for one in receivers.got] == jobs
        assert all(one.ordering_key == str(one.job) for one in receivers.got)

    async def test_only_channels_with_a_sender_are_taken(
        self, rows: Rows, session: Session, receivers: Receivers
    ) -> None:
        await set_topic(rows.connection, "results", "results")
        await subscribe(rows)
        await finished(rows)
        await relay_once(session, {"topic": receivers}, limit=10, seconds=10)
        assert [one.kind for one in receivers.got] == ["result"]


async def finished_for(rows: Rows, receivers: Receivers, url: str) -> UUID:
    """A job that ended, and a receiver of its event that never answers."""
    await subscribe(rows, url=url)
    receivers.closed.add(url)
    (job,) = await finished(rows)
    return job


class TestFailures:
    async def test_a_webhook_is_tried_eight_times_in_24_hours(
        self, rows: Rows, session: Session, receivers: Receivers, events: list[Event]
    ) -> None:
        await subscribe(rows, url="https://bad.example/hook")
        receivers.answers["https://bad.example"] = lambda _: Delivery.retry("500")
        await finished(rows)
        for wait in WEBHOOK_WAITS:
            assert (await once(session, receivers)).retried == 1
            assert (await once(session, receivers)) == Relayed(0, 0, 0, complete=True)
            await rows.wait(wait * 1.11)
        assert await once(session, receivers) == Relayed(0, 0, 1, complete=True)
        row = await event(rows)
        assert (row["attempts"], row["last_error"]) == (8, "500")
        assert row["given_up_at"] is not None
        assert len(receivers.ids()) == 8
        assert len(set(receivers.ids())) == 1
        assert sum(WEBHOOK_WAITS, timedelta()) < timedelta(hours=24, minutes=1)
        assert [type(one) for one in events[-2:]] == [OutboxGivenUp, WebhookDisabled]

    async def test_a_webhook_that_took_nothing_for_a_day_is_disabled(
        self, rows: Rows, session: Session, receivers: Receivers
    ) -> None:
        webhook = await subscribe(rows, url="https://bad.example/hook")
        receivers.answers["https://bad.example"] = lambda _: Delivery.retry("500")
        await fill(rows, webhook, 2)
        await rows.connection.execute("update headrace.outbox set attempts = 7 where id % 2 = 0")
        await once(session, receivers)
        row = await rows.connection.fetchrow("select * from headrace.webhooks")
        assert row is not None
        assert row["disabled_reason"] == "no delivery for a day: 500"
        assert (
            await rows.connection.fetchval(
                "select count(*) from headrace.outbox where given_up_at is not null"
            )
            == 2
        )

    async def test_one_that_took_others_meanwhile_is_not(
        self, rows: Rows, session: Session, receivers: Receivers
    ) -> None:
        webhook = await subscribe(rows, url="https://bad.example/hook")
        await fill(rows, webhook, 2)
        await rows.connection.execute("update headrace.outbox set attempts = 7 where id % 2 = 0")
        receivers.answers["https://bad.example"] = lambda one: (
            Delivery.retry("400") if one.attempts else SENT
        )
        for _ in range(2):
            await once(session, receivers)
        assert await rows.connection.fetchval("select disabled_at from headrace.webhooks") is None

    async def test_one_that_says_so_is_disabled_at_once(
        self, rows: Rows, session: Session, receivers: Receivers, events: list[Event]
    ) -> None:
        await fill(rows, await subscribe(rows, url="https://gone.example/hook"), 20)
        receivers.answers["https://gone.example"] = lambda _: Delivery.gone("410")
        await once(session, receivers)
        assert len(receivers.got) <= 8
        row = await rows.connection.fetchrow("select * from headrace.webhooks")
        assert row is not None
        assert row["disabled_reason"] == "410"
        assert not await rows.connection.fetchval(
            "select count(*) from headrace.outbox where given_up_at is null"
        )
        assert [type(one) for one in events].count(WebhookDisabled) == 1

    async def test_events_of_a_webhook_that_was_deleted_are_given_up(
        self, rows: Rows, session: Session, receivers: Receivers
    ) -> None:
        await subscribe(rows)
        await finished(rows)
        await rows.connection.execute("delete from headrace.webhooks")
        await once(session, receivers)
        row = await event(rows)
        assert (receivers.got, row["last_error"]) == ([], "the webhook is deleted or disabled")
        assert row["given_up_at"] is not None

    async def test_a_receiver_may_ask_for_a_longer_wait(
        self, rows: Rows, session: Session, receivers: Receivers, events: list[Event]
    ) -> None:
        await subscribe(rows, url="https://busy.example/hook")
        receivers.answers["https://busy.example"] = lambda _: Delivery.retry(
            "429", timedelta(minutes=5)
        )
        await finished(rows)
        await once(session, receivers)
        (told,) = events
        assert isinstance(told, OutboxRetried)
        assert 300 <= told.retry_in_s <= 331

    async def test_a_message_is_tried_for_ever_at_most_every_five_minutes(
        self, rows: Rows, session: Session, receivers: Receivers, events: list[Event]
    ) -> None:
        await set_topic(rows.connection, "results", "results")
        receivers.answers["results"] = lambda _: Delivery.retry("unavailable")
        await finished(rows)
        await rows.connection.execute("update headrace.outbox set attempts = 32767")
        await once(session, receivers)
        (told,) = events
        assert isinstance(told, OutboxRetried)
        assert 300 <= told.retry_in_s <= 330
        receivers.answers.clear()
        await rows.wait(timedelta(seconds=331))
        assert (await once(session, receivers)).sent == 1

    async def test_a_sender_that_breaks_is_a_failed_try(
        self, rows: Rows, session: Session, receivers: Receivers
    ) -> None:
        await subscribe(rows, url="https://bad.example/hook")

        def burst(_: Outgoing) -> Delivery:
            raise RuntimeError(f"Authorization: Bearer {CANARY}")

        receivers.answers["https://bad.example"] = burst
        await finished(rows)
        assert (await once(session, receivers)).retried == 1
        error = (await event(rows))["last_error"]
        assert error.startswith("RuntimeError: ")
        assert CANARY not in error

    async def test_a_sender_with_too_few_answers_is_a_failed_try(
        self, rows: Rows, session: Session
    ) -> None:
        class Silent(Receivers):
            async def send(self, events: Sequence[Outgoing]) -> Sequence[Delivery]:
                self.got += events
                return []

        await subscribe(rows)
        await finished(rows)
        assert (await once(session, Silent())).retried == 1


class TestOrder:
    async def test_of_one_job_the_next_message_leaves_when_the_one_before_has(
        self, rows: Rows, session: Session, receivers: Receivers
    ) -> None:
        await set_topic(rows.connection, "results", "results")
        first, second = await finished(rows, 2)
        await rows.connection.execute(
            "insert into headrace.outbox"
            " (topic, endpoint, ordering_key, kind, payload, tenant, job)"
            " select topic, endpoint, ordering_key, 'later', payload, tenant, job"
            " from headrace.outbox where job = $1",
            first,
        )
        receivers.answers["results"] = lambda one: (
            Delivery.retry("no") if one.job == first and not one.attempts else SENT
        )
        await once(session, receivers)
        assert [(one.job, one.kind) for one in receivers.got] == [
            (first, "result"),
            (second, "result"),
        ]
        await rows.wait(timedelta(seconds=2))
        await once(session, receivers)
        assert [(one.job, one.kind) for one in receivers.got[2:]] == [
            (first, "result"),
            (first, "later"),
        ]

    async def test_a_topic_that_takes_nothing_is_not_tried_with_all_that_waits(
        self, rows: Rows, session: Session, receivers: Receivers
    ) -> None:
        await set_topic(rows.connection, "results", "results")
        await finished(rows, 3 * BATCH)
        receivers.answers["results"] = lambda _: Delivery.retry("unavailable")
        await once(session, receivers)
        assert receivers.calls == [("results", BATCH)]


class TestHeadOfLine:
    async def test_ten_thousand_events_for_a_dead_host_hold_up_nobody(
        self, rows: Rows, session: Session, receivers: Receivers
    ) -> None:
        dead = await subscribe(rows, url="https://dead.example/hook", tenant="a")
        await fill(rows, dead, 10_000)
        living = [await subscribe(rows, url=f"https://{n}.example/", tenant="b") for n in "aez"]
        for webhook in living:
            await fill(rows, webhook, 50)
        receivers.closed.add("https://dead.example")
        relay = Relay(session, 1, TIMING, {"webhook": receivers})
        relay.start()
        try:
            await eventually(lambda: len(set(receivers.ids())) == 150 + 4)
            assert receivers.most["https://dead.example"] == 4
        finally:
            await relay.stop()

    async def test_many_webhooks_of_one_host_share_its_limit(
        self, rows: Rows, session: Session, receivers: Receivers
    ) -> None:
        for number in range(10):
            await fill(rows, await subscribe(rows, url=f"https://one.example/{number}"), 2)
        await once(session, receivers)
        assert len(receivers.got) == 20
        assert receivers.most["https://one.example"] <= 4

    async def test_every_endpoint_gets_its_turn_however_many_there_are(
        self, rows: Rows, session: Session, receivers: Receivers
    ) -> None:
        await rows.connection.execute(
            "insert into headrace.webhooks (tenant, url, created_by)"
            " select 't', 'https://' || n || '.example/', 'test' from generate_series(1, 450) as n"
        )
        await rows.connection.execute(
            "insert into headrace.outbox (webhook, endpoint, kind, payload, tenant)"
            " select id, endpoint, 'job.completed', '{}', tenant from headrace.webhooks"
        )
        assert await once(session, receivers) == Relayed(450, 0, 0, complete=True)
        assert len(set(receivers.ids())) == 450


class TestSeveralRelays:
    async def test_two_relays_never_send_one_event_at_the_same_time(
        self, rows: Rows, session: Session, address: str
    ) -> None:
        await set_topic(rows.connection, "results", "results")
        await subscribe(rows)
        await finished(rows, 100)
        others = [
            Session(lambda: connect(address, name="relay", settings=ENGINE_SETTINGS))
            for _ in range(3)
        ]
        receivers = Receivers()
        done = await asyncio.gather(*(once(one, receivers) for one in [session, *others]))
        for one in others:
            one.close()
        assert sum(one.sent for one in done) == 200
        assert Counter(receivers.ids()).most_common(1)[0][1] == 1

    async def test_an_event_that_one_holds_is_no_others(
        self, rows: Rows, session: Session, receivers: Receivers
    ) -> None:
        await finished_for(rows, receivers, "https://stuck.example")
        first = Courier(session, {"webhook": receivers}, per_endpoint=4)
        await first.take()
        assert await once(session, Receivers()) == Relayed(0, 0, 0, complete=True)
        await rows.wait(timedelta(seconds=59))
        assert await once(session, Receivers()) == Relayed(0, 0, 0, complete=True)
        await first.close(within_s=0)

    async def test_what_a_dead_relay_held_is_sent_by_others_after_a_minute(
        self, rows: Rows, session: Session, receivers: Receivers
    ) -> None:
        await finished_for(rows, receivers, "https://stuck.example")
        dead = Courier(session, {"webhook": receivers}, per_endpoint=4)
        await dead.take()
        await rows.wait(timedelta(seconds=61))
        receiver = Receivers()
        assert (await once(session, receiver)).sent == 1
        await eventually(lambda: receivers.got)
        assert receiver.ids() == receivers.ids()
        await dead.close(within_s=0)

    async def test_a_failure_that_is_told_too_late_takes_nothing_from_the_new_holder(
        self, rows: Rows, session: Session, receivers: Receivers
    ) -> None:
        await finished_for(rows, receivers, "https://stuck.example")
        receivers.answers["https://stuck.example"] = lambda _: Delivery.retry("late")
        late = Courier(session, {"webhook": receivers}, per_endpoint=4)
        await late.take()
        await rows.wait(timedelta(seconds=61))
        holder = Receivers()
        holder.closed.add("https://stuck.example")
        second = Courier(session, {"webhook": holder}, per_endpoint=4)
        await second.take()
        receivers.open.set()
        await late.close(within_s=1)
        row = await event(rows)
        assert (row["leased_by"], row["attempts"]) == (second.id, 0)
        await second.close(within_s=0)


class TestDeaths:
    async def test_killed_between_sending_and_marking_the_same_event_is_sent_again(
        self, rows: Rows, session: Session, address: str, tmp_path: Path
    ) -> None:
        await subscribe(rows)
        await set_topic(rows.connection, "results", "results")
        await finished(rows)
        ledger = tmp_path / "received"
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.worker.relay_once", address, str(ledger)),
            env={**os.environ, VARIABLE: "after_send:2:kill"},
        )
        assert await child.wait() == -signal.SIGKILL
        first = ledger.read_text().split()
        assert len(set(first)) == len(first) == 2
        receiver = Receivers()
        assert await once(session, receiver) == Relayed(0, 0, 0, complete=True)
        await rows.wait(timedelta(seconds=61))
        assert await once(session, receiver) == Relayed(2, 0, 0, complete=True)
        assert {str(one) for one in receiver.ids()} == set(first)


class TestTheServiceOfAWorker:
    async def test_it_sends_what_comes_and_gives_back_what_is_under_way_at_its_end(
        self, rows: Rows, session: Session, receivers: Receivers
    ) -> None:
        relay = Relay(session, 1, TIMING, {"webhook": receivers})
        relay.start()
        try:
            await subscribe(rows)
            await finished(rows)
            await eventually(lambda: receivers.got)
            await appears(rows, "sent_at is not null")
            await finished_for(rows, receivers, "https://stuck.example")
            await appears(rows, "leased_by is not null")
        finally:
            await relay.stop()
        assert not await has(rows, "leased_by is not null")
        assert relay.courier.under_way == 0

    async def test_it_outlives_the_database(
        self, rows: Rows, session: Session, receivers: Receivers
    ) -> None:
        await finished_for(rows, receivers, "https://slow.example")
        timing = Timing(relay=timedelta(milliseconds=20), reconnect_first=timedelta(seconds=0.01))
        relay = Relay(session, 1, timing, {"webhook": receivers})
        relay.start()
        try:
            await eventually(lambda: receivers.got)
            await rows.connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where application_name like '%relay' and datname = current_database()"
            )
            receivers.open.set()
            await appears(rows, "sent_at is not null")
        finally:
            await relay.stop()
        assert len(receivers.got) == 1

    async def test_it_tells_when_what_leaves_is_late(
        self, rows: Rows, session: Session, receivers: Receivers, events: list[Event]
    ) -> None:
        await set_topic(rows.connection, "results", "results")
        await fill(rows, await subscribe(rows), 1)
        await finished(rows)
        await rows.connection.execute(
            "update headrace.outbox set created_at = created_at - interval '6 min',"
            " due_at = due_at - interval '7 min', leased_until = headrace.now() + interval '1 h'"
        )
        relay = Relay(session, 1, TIMING, {"webhook": receivers})
        relay.start()
        await eventually(lambda: len(events) == 2)
        await relay.stop()
        late = {one.channel: one.oldest_age_s for one in events if isinstance(one, OutboxDelayed)}
        assert late["topic"] == pytest.approx(360, abs=30)
        assert late["webhook"] == pytest.approx(420, abs=30)

    async def test_an_event_that_waits_for_its_next_try_is_not_late(
        self, rows: Rows, session: Session, receivers: Receivers, events: list[Event]
    ) -> None:
        await fill(rows, await subscribe(rows), 1)
        await rows.connection.execute(
            "update headrace.outbox set created_at = created_at - interval '2 h',"
            " due_at = due_at + interval '1 h'"
        )
        relay = Relay(session, 1, TIMING, {"webhook": receivers})
        relay.start()
        await appears(rows, "true")
        await eventually(lambda: relay.is_healthy)
        await relay.stop()
        assert events == []


async def has(rows: Rows, condition: str) -> bool:
    """Whether there is such an event."""
    statement = f"select exists (select from headrace.outbox where {condition})"  # noqa: S608
    return bool(await rows.connection.fetchval(statement))


async def appears(rows: Rows, condition: str) -> None:
    """Wait for such an event."""

    async def is_there() -> bool:
        return await has(rows, condition)

    await eventually(is_there)
