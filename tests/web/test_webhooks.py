"""Webhooks over real sockets: who makes them, who is told, and what of them leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from headrace.model.signing import secret_key
from headrace.store.audit import list_actions
from headrace.testing import Engine
from headrace.web.auth.identity import Scope
from tests.egress.receiver import Receiver, receiving
from tests.web.hooking import ADMIN, JOB, SIGNING, made, url_of
from tests.web.pipes import PIPELINES
from tests.web.serving import Api, serve, who

REFUSED: tuple[tuple[dict[str, Any], str, str], ...] = (
    ({"url": "http://hooks.example.com/"}, "$.url", "https"),
    ({"url": "https://169.254.169.254/latest"}, "$.url", "no public host"),
    ({"url": "https://localhost/"}, "$.url", "full name"),
    ({"url": "https://2130706433/"}, "$.url", "usual form"),
    ({"url": "https://hooks.example.com:22/"}, "$.url", "port 22"),
    ({"url": "https://me:secret@hooks.example.com/"}, "$.url", "a name or a password"),
    ({"url": "https://hooks.example.com/\r\nX: y"}, "$.url", "no spaces"),
    ({"url": f"https://hooks.example.com/{'x' * 10_240}"}, "$.url", "2048"),
    ({"url": "https://1.1.1.1/", "events": []}, "$.events", "1 item"),
    ({"url": "https://1.1.1.1/", "events": ["job.lost"]}, "$.events[0]", "job.queued"),
    ({"url": "https://1.1.1.1/", "tenant": "globex"}, "$.tenant", "there is no such field"),
)
"""Bodies, the place that is wrong, and what is said of it."""


@pytest.fixture
async def hooked(database_server: str) -> AsyncIterator[Api]:
    """An API that signs, and reaches this machine."""
    engine = Engine(PIPELINES, server=database_server, settings=SIGNING)
    async with engine, serve(engine) as running:
        yield running


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


class TestMaking:
    async def test_its_secret_is_shown_this_once(self, hooked: Api, receiver: Receiver):
        client = await hooked.client(ADMIN)
        new = await made(client, receiver)
        assert len(secret_key(new["secret"])) == 32
        assert new["events"] == ["job.completed", "job.failed", "job.cancelled"]
        assert (new["state"], new["owner"], new["key_generation"]) == ("enabled", None, 1)
        place = f"/v1/webhooks/{new['id']}"
        shown = (await client.get(place)).json()
        assert shown == {name: value for name, value in new.items() if name != "secret"}
        assert (await client.get("/v1/webhooks")).json() == {"items": [shown]}
        async with hooked.engine.app.connection() as connection:
            actions = await list_actions(connection)
            rows = await connection.fetch("select webhook::text from headrace.webhooks as webhook")
        assert [one.action for one in actions if one.target == new["id"]] == ["webhook.create"]
        assert new["secret"][6:20] not in str(actions) + str(rows)

    async def test_w6_what_is_no_webhook_is_refused(self, hooked: Api):
        client = await hooked.client(ADMIN)
        for body, path, why in REFUSED:
            answer = await client.post("/v1/webhooks", json=body)
            assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_ERROR")
            [wrong] = answer.json()["errors"]
            assert wrong["path"] == path
            assert why in wrong["message"]
        assert (await client.get("/v1/webhooks")).json() == {"items": []}

    async def test_a_tenant_has_twenty(self, hooked: Api, receiver: Receiver):
        client = await hooked.client(ADMIN)
        for _ in range(20):
            await made(client, receiver)
        answer = await client.post("/v1/webhooks", json={"url": url_of(receiver)})
        assert (answer.status_code, answer.json()["code"]) == (409, "CONFLICT")
        other = await hooked.client(who("globex", "root", Scope.TENANT_ADMIN))
        await made(other, receiver)

    async def test_there_are_none_without_a_key(self, api: Api):
        client = await api.client(who("acme", "root", *Scope))
        for place, body in (
            ("/v1/webhooks", {"url": "https://1.1.1.1/"}),
            ("/v1/jobs", {**JOB, "webhook": {"url": "https://1.1.1.1/"}}),
        ):
            answer = await client.post(place, json=body)
            assert (answer.status_code, answer.json()["code"]) == (409, "CONFLICT")
            assert "HEADRACE_SIGNING_KEYS" in answer.json()["detail"]
        assert await api.engine.jobs() == []


class TestChanging:
    async def test_w8_another_secret_is_made_and_the_one_before_goes_on(
        self, hooked: Api, receiver: Receiver
    ):
        client = await hooked.client(ADMIN)
        new = await made(client, receiver)
        place = f"/v1/webhooks/{new['id']}"
        changed = (await client.post(f"{place}/rotate")).json()
        assert changed["secret"] != new["secret"]
        assert changed["key_generation"] == 2
        assert changed["previous_until"] is not None
        wrong = await client.post(f"{place}/rotate", json={"overlap_s": 8 * 86_400})
        assert wrong.status_code == 422

    async def test_a_deleted_one_is_gone(self, hooked: Api, receiver: Receiver):
        client = await hooked.client(ADMIN)
        place = f"/v1/webhooks/{(await made(client, receiver))['id']}"
        assert (await client.post(f"{place}/test")).status_code == 202
        assert (await client.delete(place)).status_code == 204
        for answer in (
            await client.get(place),
            await client.delete(place),
            await client.get(f"{place}/deliveries"),
            await client.post(f"{place}/rotate"),
            await client.post(f"{place}/enable"),
            await client.post(f"{place}/test"),
        ):
            assert (answer.status_code, answer.json()["detail"]) == (
                404,
                "there is no such webhook",
            )
        async with hooked.engine.app.connection() as connection:
            assert await connection.fetchval("select count(*) from headrace.outbox") == 0

    async def test_it_belongs_to_its_tenant(self, hooked: Api, receiver: Receiver):
        new = await made(await hooked.client(ADMIN), receiver)
        place = f"/v1/webhooks/{new['id']}"
        stranger = await hooked.client(who("globex", "root", *Scope))
        assert (await stranger.get("/v1/webhooks")).json() == {"items": []}
        for method, path in (
            ("GET", ""), ("DELETE", ""), ("GET", "/deliveries"), ("POST", "/rotate"),
            ("POST", "/enable"), ("POST", "/test"),
        ):  # fmt: skip
            assert (await stranger.request(method, place + path)).status_code == 404
        user = await hooked.client(who("acme", "ann"))
        assert (await user.get(place)).status_code == 403


class TestLimits:
    async def test_what_admins_of_a_tenant_do_counts_for_it(
        self, database_server: str, receiver: Receiver
    ):
        settings = SIGNING.model_copy(update={"rate_tenant_writes": 2, "rate_tenant_reads": 3})
        engine = Engine(PIPELINES, server=database_server, settings=settings)
        async with engine, serve(engine) as api:
            client = await api.client(ADMIN)
            body = {"url": url_of(receiver)}
            wrote = [(await client.post("/v1/webhooks", json=body)).status_code for _ in range(3)]
            read = [(await client.get("/v1/webhooks")).status_code for _ in range(4)]
        assert wrote == [201, 201, 429]
        assert read == [200, 200, 200, 429]


class TestOfJobs:
    async def test_it_is_stored_with_the_job(self, hooked: Api, receiver: Receiver):
        client = await hooked.client(who())
        body = {**JOB, "webhook": {"url": url_of(receiver), "events": ["job.completed"]}}
        answers = await asyncio.gather(
            *(client.post("/v1/jobs", json=body) for _ in range(5)),
            *(client.post("/v1/jobs", json=JOB) for _ in range(5)),
        )
        assert {answer.status_code for answer in answers} == {202}
        jobs = [answer.json() for answer in answers]
        assert ["webhook_secret" in job for job in jobs] == [True] * 5 + [False] * 5
        assert len({job["webhook_secret"] for job in jobs[:5]}) == 5
        async with hooked.engine.app.connection() as connection:
            rows = await connection.fetch("select id, job, tenant, owner from headrace.webhooks")
        assert {str(row["id"]) for row in rows} == {job["job_id"] for job in jobs[:5]}
        assert {(row["id"] == row["job"], row["tenant"], row["owner"]) for row in rows} == {
            (True, "acme", "ann")
        }

    async def test_the_same_request_makes_one(self, hooked: Api, receiver: Receiver):
        client = await hooked.client(who())
        body = {**JOB, "webhook": {"url": url_of(receiver)}}
        headers = {"Idempotency-Key": "once"}
        answers = [await client.post("/v1/jobs", json=body, headers=headers) for _ in range(3)]
        assert len({answer.json()["webhook_secret"] for answer in answers}) == 1
        async with hooked.engine.app.connection() as connection:
            assert await connection.fetchval("select count(*) from headrace.webhooks") == 1
        body["webhook"] = {"url": url_of(receiver), "events": ["job.failed"]}
        answer = await client.post("/v1/jobs", json=body, headers=headers)
        assert answer.json()["code"] == "IDEMPOTENCY_KEY_REUSED"

    async def test_a_bad_address_stores_nothing(self, hooked: Api):
        client = await hooked.client(who())
        answer = await client.post(
            "/v1/jobs", json={**JOB, "webhook": {"url": "https://10.0.0.1/"}}
        )
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["path"] == "$.webhook.url"
        assert await hooked.engine.jobs() == []

    async def test_it_is_not_among_those_of_the_tenant(self, hooked: Api, receiver: Receiver):
        client = await hooked.client(who())
        await client.post("/v1/jobs", json={**JOB, "webhook": {"url": url_of(receiver)}})
        admin = await hooked.client(ADMIN)
        assert (await admin.get("/v1/webhooks")).json() == {"items": []}
