"""What webhooks are told, by a worker's relay, on good days and on bad ones."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from headrace.telemetry.events import Level
from headrace.telemetry.logs import configure_logs
from headrace.testing import Engine
from headrace.web.auth.identity import Scope
from tests.egress.receiver import Receiver, receiving
from tests.waiting import eventually
from tests.web.hooking import (
    ADMIN,
    JOB,
    KEYS,
    SIGNING,
    delivered,
    deliveries,
    made,
    opened,
    submitted,
    told,
    url_of,
)
from tests.web.pipes import PIPELINES
from tests.web.serving import Api, serve, who


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


class TestDelivery:
    async def test_a_webhook_is_told_of_the_jobs_of_its_tenant(
        self, hooked: Api, receiver: Receiver
    ):
        client = await hooked.client(ADMIN)
        new = await made(client, receiver)
        job = await submitted(hooked)
        await told(receiver)
        [got] = receiver.got
        said = opened(got, [new["secret"]])
        assert got.line == "POST /in HTTP/1.1"
        assert got.headers["content-type"] == "application/json"
        assert got.headers["user-agent"].startswith("headrace/")
        assert (said["type"], said["data"]["job_id"]) == ("job.completed", job)
        assert (said["data"]["status"], said["data"]["tenant"]) == ("success", "acme")
        known = await delivered(client, new["id"], lambda one: one["state"] == "sent")
        assert known["event_id"] == got.headers["webhook-id"]
        assert (known["job_id"], known["attempts"], known["last_error"]) == (job, 1, None)

    async def test_others_are_told_nothing_of_them(self, hooked: Api, receiver: Receiver):
        async with receiving() as other, receiving() as of_bob:
            stranger = await hooked.client(who("globex", "root", Scope.TENANT_ADMIN))
            theirs = await made(stranger, other)
            client = await hooked.client(ADMIN)
            await made(client, of_bob, owner="bob")
            await made(client, receiver, owner="ann")
            await submitted(hooked)
            await told(receiver)
            assert await deliveries(stranger, theirs["id"]) == []
            assert (other.connections, of_bob.connections) == (0, 0)

    async def test_a_webhook_hears_what_it_asked_for(self, hooked: Api, receiver: Receiver):
        client = await hooked.client(ADMIN)
        events = ["job.queued", "job.running", "job.completed"]
        new = await made(client, receiver, events=events)
        await submitted(hooked)
        await told(receiver, 3)
        said = [opened(got, [new["secret"]])["type"] for got in receiver.got]
        assert Counter(said) == Counter(events)

    async def test_the_webhook_of_a_job_is_told_of_it_alone(self, hooked: Api, receiver: Receiver):
        client = await hooked.client(who())
        answer = await client.post("/v1/jobs", json={**JOB, "webhook": {"url": url_of(receiver)}})
        job, secret = answer.json()["job_id"], answer.json()["webhook_secret"]
        await submitted(hooked)
        await told(receiver)
        assert opened(receiver.got[0], [secret])["data"]["job_id"] == job
        page = (await client.get(f"/v1/jobs/{job}/deliveries")).json()
        assert [one["type"] for one in page["items"]] == ["job.completed"]
        await hooked.engine.run_until_empty()
        assert len(receiver.got) == 1

    async def test_a_test_is_delivered_as_one(self, hooked: Api, receiver: Receiver):
        client = await hooked.client(ADMIN)
        new = await made(client, receiver)
        event = (await client.post(f"/v1/webhooks/{new['id']}/test")).json()["event_id"]
        await told(receiver)
        said = opened(receiver.got[0], [new["secret"]])
        assert (said["type"], said["data"]["event_id"]) == ("webhook.test", event)

    async def test_deliveries_come_in_pages(self, hooked: Api, receiver: Receiver):
        client = await hooked.client(ADMIN)
        new = await made(client, receiver)
        place = f"/v1/webhooks/{new['id']}"
        sent = [(await client.post(f"{place}/test")).json()["event_id"] for _ in range(5)]
        seen: list[str] = []
        query: dict[str, Any] = {"limit": 2}
        while query.get("cursor", True):
            page = (await client.get(f"{place}/deliveries", params=query)).json()
            seen += [one["event_id"] for one in page["items"]]
            query["cursor"] = page["next"]
        assert seen == sent[::-1]


class TestSecrets:
    async def test_none_leaves_but_where_it_is_shown(self, hooked: Api, receiver: Receiver):
        stream = io.StringIO()
        logs = configure_logs(level=Level.DEBUG, style="json", stream=stream)
        client = await hooked.client(ADMIN)
        new = await made(client, receiver)
        place = f"/v1/webhooks/{new['id']}"
        second = (await client.post(f"{place}/rotate")).json()["secret"]
        own = {"url": f"{url_of(receiver)}?token=canary-0011"}
        answer = await (await hooked.client(who())).post("/v1/jobs", json={**JOB, "webhook": own})
        await told(receiver, 2)
        receiver.status = 500
        await client.post(f"{place}/test")
        await told(receiver, 3)
        await eventually(lambda: logs.flush() and "outbox_retried" in stream.getvalue())
        logs.close()
        async with hooked.engine.app.connection() as connection:
            tables = ("webhooks", "outbox", "jobs", "job_events", "admin_audit", "request_keys")
            rows = [
                str(await connection.fetch(f"select one::text from headrace.{name} as one"))  # noqa: S608
                for name in tables
            ]
        shown = [(await client.get(place + path)).text for path in ("", "/deliveries")]
        sent = [str(got) for got in receiver.got]
        secrets = (*KEYS, new["secret"], second, answer.json()["webhook_secret"])
        for secret in secrets:
            for text in (stream.getvalue(), *rows, *shown, *sent):
                assert secret.removeprefix("whsec_")[:20] not in text
        assert "canary-0011" not in stream.getvalue() + rows[-2]
