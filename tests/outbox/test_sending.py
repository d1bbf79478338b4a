"""What waits in the outbox is sent, and again where that fails, until it is given up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import pytest

from headrace.store.outbox import Delivery, Outgoing, set_topic
from headrace.store.session import Session
from headrace.telemetry.events import Event
from headrace.telemetry.outbox_events import (
    OutboxGivenUp,
    OutboxPublished,
    OutboxRetried,
    WebhookDisabled,
)
from headrace.worker.courier import WEBHOOK_WAITS
from headrace.worker.relay import Relayed, relay_once
from tests.engine_rows import Rows
from tests.outbox.rows import (
    SENT,
    Receivers,
    event,
    fill,
    finished,
    finished_for,
    once,
    subscribe,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

CANARY: Final = "sk-live0123456789abcdef0123456789"


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
        await once(session, receivers)  # it has its connection: that is not what the time is for
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
