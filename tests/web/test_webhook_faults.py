"""Faults of receivers from end to end, as a worker's relay meets them: W1 to W3, W5, W7 to W9."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from headrace.model.signing import SignatureError
from headrace.testing import Engine
from tests.egress.receiver import Mood, Receiver, receiving
from tests.waiting import eventually
from tests.web.hooking import (
    ADMIN,
    SIGNING,
    delivered,
    deliveries,
    made,
    opened,
    submitted,
    told,
)
from tests.web.pipes import PIPELINES
from tests.web.serving import Api, serve

WAITS = (5, 60, 600, 3_600, 10_800, 28_800, 42_540)
"""Seconds between the tries."""


@pytest.fixture
async def hooked(database_server: str) -> AsyncIterator[Api]:
    """An API that signs, with a worker."""
    engine = Engine(PIPELINES, server=database_server, settings=SIGNING)
    async with engine, serve(engine) as running, engine.worker():
        yield running


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


class TestW1SlowReceivers:
    """Fault W1, from end to end: a receiver that hangs is tried again, and holds up nobody."""

    @pytest.mark.parametrize("mood", ["closing", "silent"])
    async def test_it_is_tried_again_and_others_are_told_meanwhile(
        self, hooked: Api, receiver: Receiver, mood: Mood
    ):
        receiver.mood = mood
        client = await hooked.client(ADMIN)
        slow = await made(client, receiver)
        async with receiving() as other:
            await made(client, other)
            await submitted(hooked)
            await told(other)
            [first] = await deliveries(client, slow["id"])
            assert first["state"] == "waiting"
        if mood == "closing":
            failed = await delivered(client, slow["id"], lambda one: one["attempts"] == 1)
            assert failed["last_error"].startswith("no answer")
            receiver.mood = "well"
            await hooked.engine.move_clock(timedelta(seconds=6))
            await told(receiver)
            await delivered(client, slow["id"], lambda one: one["state"] == "sent")


class TestW2Redirects:
    """Fault W2, from end to end."""

    async def test_a_redirect_is_a_failure_and_leads_nowhere(self, hooked: Api, receiver: Receiver):
        async with receiving() as witness:
            receiver.status = 307
            receiver.headers = {"Location": f"http://127.0.0.1:{witness.port}/latest/meta-data"}
            client = await hooked.client(ADMIN)
            new = await made(client, receiver)
            await submitted(hooked)
            failed = await delivered(client, new["id"], lambda one: one["attempts"] == 1)
            assert failed["last_error"] == "it answered 307; redirects are not followed"
            assert witness.connections == 0


class TestW3InternalTargets:
    """Fault W3, from end to end: an address that became internal after it was stored."""

    async def test_it_is_checked_again_at_the_connection(self, hooked: Api, receiver: Receiver):
        client = await hooked.client(ADMIN)
        new = await made(client, receiver)
        async with hooked.engine.app.connection() as connection:
            await connection.execute(
                "update headrace.webhooks set url = $1", f"https://localhost:{receiver.port}/"
            )
        await submitted(hooked)
        failed = await delivered(client, new["id"], lambda one: one["attempts"] == 1)
        assert "localhost" in failed["last_error"]
        assert receiver.connections == 0


class TestW5Answers:
    """Fault W5, from end to end."""

    @pytest.mark.parametrize("mood", ["flood", "bomb"])
    async def test_an_answer_without_end_is_an_answer(
        self, hooked: Api, receiver: Receiver, mood: Mood
    ):
        receiver.mood, receiver.status = mood, 200
        client = await hooked.client(ADMIN)
        new = await made(client, receiver)
        await submitted(hooked)
        await delivered(client, new["id"], lambda one: one["state"] == "sent")
        assert receiver.sent < 32 * 1_024 * 1_024


class TestW7BadDays:
    """Fault W7: it stores and then says otherwise, it fails for hours, it wants no more."""

    async def test_the_same_event_comes_again_under_the_same_id(
        self, hooked: Api, receiver: Receiver
    ):
        receiver.status = 500
        client = await hooked.client(ADMIN)
        new = await made(client, receiver)
        await submitted(hooked)
        await delivered(client, new["id"], lambda one: one["attempts"] == 1)
        receiver.status = 200
        await hooked.engine.move_clock(timedelta(seconds=6))
        known = await delivered(client, new["id"], lambda one: one["state"] == "sent")
        assert (known["attempts"], known["last_error"]) == (2, None)
        first, second = receiver.got
        assert first.headers["webhook-id"] == second.headers["webhook-id"]
        assert first.body == second.body
        assert opened(second, [new["secret"]])["type"] == "job.completed"

    async def test_after_eight_tries_in_a_day_it_is_given_up_and_disabled(
        self, hooked: Api, receiver: Receiver
    ):
        receiver.status = 500
        client = await hooked.client(ADMIN)
        new = await made(client, receiver)
        began = time.monotonic()
        await submitted(hooked)
        for number, wait in enumerate(WAITS, 1):
            await delivered(client, new["id"], lambda one, n=number: one["attempts"] == n)
            left = (await _wait(hooked)).total_seconds()
            assert wait - (time.monotonic() - began) < left < wait * 1.11
            began = time.monotonic()
            await hooked.engine.move_clock(timedelta(seconds=1.2 * wait))
        known = await delivered(client, new["id"], lambda one: one["state"] == "given_up")
        assert (known["attempts"], known["last_error"]) == (8, "it answered 500")
        assert len(receiver.got) == 8
        place = f"/v1/webhooks/{new['id']}"

        async def disabled() -> dict[str, Any] | None:
            shown = (await client.get(place)).json()
            return shown if shown["state"] == "disabled" else None

        shown = await eventually(disabled)
        assert shown is not None
        assert shown["disabled_reason"] == "no delivery for a day: it answered 500"
        assert sum(WAITS) == pytest.approx(86_400, rel=0.01)
        assert (await client.post(f"{place}/test")).status_code == 409

        receiver.status = 204
        assert (await client.post(f"{place}/enable")).json()["state"] == "enabled"
        await submitted(hooked)
        await told(receiver, 9)

    async def test_one_that_says_it_wants_no_more_is_told_no_more(
        self, hooked: Api, receiver: Receiver
    ):
        receiver.status = 410
        client = await hooked.client(ADMIN)
        new = await made(client, receiver)
        await submitted(hooked)
        known = await delivered(client, new["id"], lambda one: one["state"] == "given_up")
        assert known["attempts"] == 1

        async def reason() -> str | None:
            answer = await client.get(f"/v1/webhooks/{new['id']}")
            return str(answer.json()["disabled_reason"] or "") or None

        assert await eventually(reason) == "it answered 410: it wants no more"
        await submitted(hooked)
        await hooked.engine.run_until_empty()
        assert len(await deliveries(client, new["id"])) == 1

    async def test_one_that_asks_for_time_gets_it(self, hooked: Api, receiver: Receiver):
        receiver.status, receiver.headers = 503, {"Retry-After": "1800"}
        client = await hooked.client(ADMIN)
        new = await made(client, receiver)
        await submitted(hooked)
        await delivered(client, new["id"], lambda one: one["attempts"] == 1)
        assert timedelta(minutes=29) < await _wait(hooked) < timedelta(minutes=34)


class TestW8Rotation:
    """Fault W8: both secrets sign for as long as was said, and then the new one alone."""

    async def test_messages_are_signed_with_both(self, hooked: Api, receiver: Receiver):
        client = await hooked.client(ADMIN)
        new = await made(client, receiver)
        place = f"/v1/webhooks/{new['id']}/rotate"
        second = (await client.post(place)).json()["secret"]
        await submitted(hooked)
        await told(receiver)
        for secret in (new["secret"], second):
            opened(receiver.got[0], [secret])
        third = (await client.post(place, json={"overlap_s": 0})).json()["secret"]
        await submitted(hooked)
        await told(receiver, 2)
        opened(receiver.got[1], [third])
        for secret in (new["secret"], second):
            with pytest.raises(SignatureError):
                opened(receiver.got[1], [secret])


class TestW9DeadHosts:
    """Fault W9: a heap of events for one dead host."""

    async def test_they_hold_up_nobody_and_few_are_under_way(self, hooked: Api, receiver: Receiver):
        receiver.mood = "silent"
        client = await hooked.client(ADMIN)
        dead = await made(client, receiver)
        async with hooked.engine.app.connection() as connection:
            await connection.execute(
                "insert into headrace.outbox (webhook, endpoint, kind, payload, tenant) "
                "select id, endpoint, 'webhook.test', '{}', tenant "
                "from headrace.webhooks, generate_series(1, 10000) where id = $1",
                dead["id"],
            )
        await told(receiver, 4)
        async with receiving() as other:
            await made(client, other, events=["job.completed"])
            for number in range(1, 4):
                await submitted(hooked)
                await told(other, number)
        assert receiver.connections == 4


async def _wait(api: Api) -> timedelta:
    async with api.engine.app.connection() as connection:
        wait: timedelta = await connection.fetchval(
            "select max(due_at - headrace.now()) from headrace.outbox"
        )
        return wait
