"""An event is in one relay's hands at a time; whoever dies with it loses nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from headrace.store.failpoints import VARIABLE
from headrace.store.outbox import Delivery, set_topic
from headrace.store.pool import connect
from headrace.store.session import ENGINE_SETTINGS, Session
from headrace.worker.courier import Courier
from headrace.worker.relay import Relayed
from tests.engine_rows import Rows
from tests.outbox.rows import (
    Receivers,
    event,
    finished,
    finished_for,
    once,
    subscribe,
)
from tests.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


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


class TestEnds:
    async def test_what_lands_while_a_relay_ends_is_marked(
        self, rows: Rows, session: Session, receivers: Receivers
    ) -> None:
        await finished_for(rows, receivers, "https://slow.example")
        courier = Courier(session, {"webhook": receivers}, per_endpoint=4)
        await courier.take()
        await eventually(lambda: receivers.got)
        receivers.open.set()
        await courier.close(within_s=5)
        assert (await event(rows))["sent_at"] is not None


class TestDeaths:
    async def test_killed_between_sending_and_marking_the_same_event_is_sent_again(
        self, rows: Rows, session: Session, address: str, tmp_path: Path
    ) -> None:
        await subscribe(rows)
        await set_topic(rows.connection, "results", "results")
        await finished(rows)
        ledger = tmp_path / "received"
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.outbox.relay_once", address, str(ledger)),
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
