"""Relays side by side: in order, at least once, and held up by nobody."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import pytest

from headrace.store.outbox import Delivery, set_topic
from headrace.store.session import Session
from headrace.telemetry.events import Event
from headrace.telemetry.outbox_events import (
    OutboxDelayed,
)
from headrace.worker.courier import BATCH, PER_TENANT
from headrace.worker.relay import Relay, Relayed, relay_once
from headrace.worker.timing import Timing
from tests.engine_rows import Rows
from tests.outbox.rows import (
    SENT,
    Receivers,
    appears,
    fill,
    finished,
    finished_for,
    has,
    once,
    subscribe,
)
from tests.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

TIMING: Final = Timing(relay=timedelta(milliseconds=20))


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

    async def test_how_many_go_to_one_host_at_once_can_be_chosen(
        self, rows: Rows, session: Session, receivers: Receivers
    ) -> None:
        await once(session, receivers)  # it has its connection: that is not what the time is for
        await fill(rows, await subscribe(rows, url="https://one.example/"), 9)
        receivers.closed.add("https://one.example")
        senders = {"webhook": receivers}
        await relay_once(session, senders, limit=9, seconds=0.2, per_endpoint=2)
        assert receivers.most["https://one.example"] == 2

    async def test_many_webhooks_of_one_host_share_its_limit(
        self, rows: Rows, session: Session, receivers: Receivers
    ) -> None:
        for number in range(10):
            await fill(rows, await subscribe(rows, url=f"https://one.example/{number}"), 2)
        await once(session, receivers)
        assert len(receivers.got) == 20
        assert receivers.most["https://one.example"] <= 4

    async def test_a_tenant_with_many_silent_hosts_holds_up_no_other(
        self, rows: Rows, session: Session, receivers: Receivers
    ) -> None:
        for number in range(10):
            url = f"https://silent{number}.example"
            await fill(rows, await subscribe(rows, url=url, tenant="many"), 10)
            receivers.closed.add(url)
        await fill(rows, await subscribe(rows, url="https://zz.example", tenant="other"), 40)
        relay = Relay(session, 1, TIMING, {"webhook": receivers})
        relay.start()
        try:
            await eventually(lambda: len(receivers.ids("https://zz.example")) == 40)
            await eventually(lambda: len(receivers.got) == 40 + PER_TENANT)
            assert relay.courier.under_way == PER_TENANT
        finally:
            await relay.stop()

    async def test_once_is_until_nothing_is_due_however_it_is_spread(
        self, rows: Rows, session: Session, receivers: Receivers
    ) -> None:
        for number in range(30):
            await fill(rows, await subscribe(rows, url=f"https://{number}.example/"), 10)
        assert await once(session, receivers) == Relayed(300, 0, 0, complete=True)

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


class TestJobs:
    async def test_a_job_ends_while_everything_of_the_outbox_is_locked(
        self, rows: Rows, address: str
    ) -> None:
        await set_topic(rows.connection, "results", "results")
        await subscribe(rows)
        await finished(rows)
        (claim,) = await rows.claimed()
        other = await Rows.open(address)
        async with other.connection.transaction():
            for table in ("outbox", "webhooks", "topics"):
                await other.connection.execute(f"select from headrace.{table} for update")
            await rows.connection.execute("set lock_timeout = '10ms'")
            await rows.end(claim)
        await other.close()
        assert (await rows.job(claim["id"]))["state"] == "completed"

    async def test_jobs_go_on_while_no_receiver_answers(
        self, rows: Rows, session: Session, receivers: Receivers
    ) -> None:
        await set_topic(rows.connection, "results", "results")
        await subscribe(rows, url="https://stuck.example/")
        receivers.closed |= {"results", "https://stuck.example"}
        relay = Relay(session, 1, TIMING, {"webhook": receivers, "topic": receivers})
        relay.start()
        try:
            await finished(rows, 10)
            await eventually(lambda: receivers.under_way["https://stuck.example"] == 4)
            assert len(await finished(rows, 100)) == 100
        finally:
            await relay.stop()
        assert not await has(rows, "sent_at is not null")


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
        another = Relay(session, 2, TIMING, {"webhook": receivers})
        another.start()
        await finished(rows)
        await eventually(lambda: receivers.got)
        await another.stop()
        assert len([one for one in events if isinstance(one, OutboxDelayed)]) == 2
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
