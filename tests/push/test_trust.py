"""POST /push: whose requests are taken, and what malformed ones come to."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from headrace.inbox.message import compose_message
from headrace.telemetry.identity_events import (
    CredentialRefused,
    IssuerKeysFetched,
    IssuerUnreachable,
)
from headrace.telemetry.messaging_events import MessagePutAside, MessageSettled
from headrace.testing import PubSubServer
from tests.listening import listening
from tests.push.conftest import ACCOUNT, AUDIENCE, MakeSite, Site, envelope
from tests.push.pipes import grind, stone

PUBLISHED = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
"""When `envelope` says that its messages were, within the tolerance of signatures."""
RING = envelope(b"{}", {"kind": "doorbell", "queue": "default", "v": "1"})
"""A good message, so that a 2xx would be for work."""


async def aside(site: Site) -> list[str]:
    async with site.app.connection() as connection:
        rows = await connection.fetch("select reason from headrace.quarantine order by id")
    return [row["reason"] for row in rows]


def forged(token: str, **header: Any) -> str:
    """A token with another header, and the same signature."""
    _, claims, signature = token.split(".")
    text = json.dumps({"typ": "JWT", "kid": "test-0", **header}).encode()
    return f"{base64.urlsafe_b64encode(text).decode().rstrip('=')}.{claims}.{signature}"


class TestTokens:
    """C1: nothing but the right token has anything done."""

    @pytest.mark.parametrize(
        ("claims", "status"),
        [
            ({"audience": "https://other.example.com"}, 403),
            ({"email": "other@shop.iam.gserviceaccount.com"}, 403),
            ({"email": ""}, 403),
            ({"email_verified": False}, 403),
            ({"email_verified": "true"}, 403),
            ({"iss": "https://evil.example.com"}, 401),
            ({"exp": 1}, 401),
            ({"exp": None}, 401),
            ({"iat": 4_000_000_000, "exp": 4_000_000_100}, 401),
        ],
    )
    async def test_a_token_that_says_something_else_is_refused(
        self, site: Site, claims: dict[str, Any], status: int
    ) -> None:
        job = await site.app.submit(grind, 1)
        answer = await site.post(RING, site.token(**claims))
        assert answer.status_code == status
        assert (await job.status()).state == "queued"

    @pytest.mark.parametrize("header", [{"alg": "none"}, {"alg": "HS256"}, {"alg": "RS512"}])
    async def test_another_algorithm_is_refused(self, site: Site, header: dict[str, str]) -> None:
        answer = await site.post(RING, forged(site.token(), **header))
        assert answer.status_code == 401

    async def test_none_at_all_is_refused_before_the_body_is_read(self, site: Site) -> None:
        answer = await site.client.post("/push", content=b"\xff" * 1_000)
        assert answer.status_code == 401
        assert await aside(site) == []

    async def test_a_signature_of_somebody_else_is_refused(self, site: Site) -> None:
        with PubSubServer() as other:
            other.rotate_keys()
            other.rotate_keys()
            stranger = other.token(AUDIENCE, ACCOUNT)
        assert (await site.post(RING, stranger)).status_code == 401
        assert stone.begun == []

    async def test_operators_and_api_keys_may_not_push(self, site: Site) -> None:
        assert (await site.post(RING, "hr_" + "a" * 40)).status_code == 401

    async def test_the_token_opens_nothing_else(self, site: Site) -> None:
        headers = {"Authorization": f"Bearer {site.token()}"}
        for method, path in (("POST", "/tasks/sweep"), ("GET", "/stats")):
            answer = await site.client.request(method, path, headers=headers)
            assert answer.status_code == 401, path


class TestKeys:
    """C2: what the keys of tokens may do to us."""

    async def test_a_rotated_key_is_found(self, site: Site) -> None:
        assert (await site.ring()).status_code == 204
        site.server.rotate_keys()
        assert (await site.ring()).status_code == 204

    async def test_unknown_keys_are_refused_and_looked_for_once(self, site: Site) -> None:
        assert (await site.ring()).status_code == 204
        with listening() as told:
            for number in range(10):
                token = forged(site.token(), alg="RS256", kid=f"unknown-{number}")
                assert (await site.post(RING, token)).status_code == 401
        assert len(told.of(IssuerKeysFetched)) == 1

    async def test_without_keys_the_message_comes_again(self, make_site: MakeSite) -> None:
        site = await make_site(PUSH_KEYS_URL="http://127.0.0.1:9/keys")
        with listening() as told:
            answers = [await site.ring() for _ in range(3)]
        assert [answer.status_code for answer in answers] == [503] * 3
        assert answers[0].headers["Retry-After"]
        assert len(told.of(IssuerUnreachable)) == 1


class TestEnvelopes:
    """C7: whatever cannot be read is put aside and settled; else it would come for days."""

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"not json",
            b"[]",
            b'{"kind": "doorbell"}',
            b'{"subscription": "projects/emulator-project/subscriptions/headrace-jobs-push-sub"}',
            b'{"message": {"messageId": "1"}, "subscription": 3}',
            b'{"message": null}',
            b"\xff\xfe",
            b'{"a":' * 100 + b"1" + b"}" * 100,
        ],
    )
    async def test_a_body_that_is_no_envelope_is_recorded(self, site: Site, body: bytes) -> None:
        with listening() as told:
            assert (await site.post(body)).status_code == 204
        assert await aside(site) == ["undecodable"]
        [settled] = told.of(MessageSettled)
        assert (settled.kind, settled.outcome) == ("other", "quarantined")
        assert len(told.of(MessagePutAside)) == 1

    async def test_data_that_is_no_base64_is_recorded_with_its_id(self, site: Site) -> None:
        body = envelope(b"{}", {"kind": "job"}, number=77).replace(b"e30=", b"e30*")
        with listening() as told:
            assert (await site.post(body)).status_code == 204
        assert [event.message_id for event in told.of(MessagePutAside)] == ["77"]

    @pytest.mark.parametrize("kind", ["text/plain", ""])
    async def test_the_type_of_the_body_does_not_matter(self, site: Site, kind: str) -> None:
        answer = await site.post(b"not json", **{"Content-Type": kind})
        assert answer.status_code == 204
        assert await aside(site) == ["undecodable"]

    async def test_more_than_pubsub_can_send_is_recorded(self, site: Site) -> None:
        assert (await site.post(b"x" * 16_777_217)).status_code == 204
        assert await aside(site) == ["undecodable"]

    async def test_eleven_megabytes_in_an_envelope_are_put_aside(self, site: Site) -> None:
        assert (await site.post(envelope(b"x" * 11_000_000, {"kind": "job"}))).status_code == 204
        assert len(await aside(site)) == 1

    async def test_another_subscription_is_refused(self, site: Site) -> None:
        other = "projects/emulator-project/subscriptions/other"
        with listening() as told:
            for body in (
                envelope(b"{}", {"kind": "doorbell"}, subscription=other),
                json.dumps({"message": 3, "subscription": other}).encode(),
            ):
                assert (await site.post(body)).status_code == 403
        assert await aside(site) == []
        reasons = [event.reason for event in told.of(CredentialRefused)]
        assert reasons == ["wrong_subscription"] * 2


class TestJobs:
    async def test_a_submitted_job_is_stored_and_rung_for(self, site: Site) -> None:
        site.server.create_topic("headrace-jobs")
        secret, source = await site.app.sources.create(
            "shop", tenant="acme", owner="orders", pipelines=["grind"], by="test"
        )
        named = {"source": source.name, "secret": secret, "id": "order-1"}
        message = compose_message("grind", 2, at=PUBLISHED, **named)
        body = envelope(message.data, message.attributes)
        with listening() as told:
            for _ in range(2):
                assert (await site.post(body)).status_code == 204
            assert len(site.server.messages("headrace-jobs")) == 1
            assert stone.begun == []
            assert (await site.ring()).status_code == 204
            assert stone.begun == ["mill"]
            assert (await site.post(body)).status_code == 204
        outcomes = [event.outcome for event in told.of(MessageSettled)]
        assert outcomes == ["inserted", "duplicate", "rung", "stale"]

    async def test_a_job_that_nobody_signed_is_put_aside(self, site: Site) -> None:
        answer = await site.post(envelope(b"{}", {"kind": "job", "v": "1"}))
        assert answer.status_code == 204
        assert await aside(site) == ["unsigned"]

    async def test_where_nobody_can_check_it_it_comes_again(self, make_site: MakeSite) -> None:
        site = await make_site(INBOX="off")
        await site.app.open()
        with listening() as told:
            answer = await site.post(envelope(b"{}", {"kind": "job", "v": "1"}))
        assert answer.status_code == 503
        assert await aside(site) == []
        assert [event.outcome for event in told.of(MessageSettled)] == ["returned"]
