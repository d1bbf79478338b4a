from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta

import httpx2
import jwt
import pytest
from google.pubsub_v1.types import PushConfig

from headrace.testing import PubSubServer
from headrace.testing.pubsub import Call, Fail, RefusedError, SubscriptionOrder
from tests.pubsub.conformance.site import SHORTEST, Site
from tests.waiting import eventually

ACCOUNT = "pusher@project.iam.gserviceaccount.com"


@dataclass
class Request:
    head: str
    body: bytes
    at: float
    """When it was there, by the clock of the loop."""

    @property
    def headers(self) -> dict[str, str]:
        pairs = (line.split(": ", 1) for line in self.head.splitlines()[1:] if line)
        return {name.lower(): value for name, value in pairs}

    @property
    def envelope(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.body)
        return found


@dataclass
class Endpoint:
    """Takes pushes on a socket and answers as it is told; hangs when it is told nothing."""

    url: str = ""
    answers: list[str | None] = field(default_factory=lambda: ["204 No Content"])
    requests: list[Request] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        request = Request(head, b"", asyncio.get_running_loop().time())
        request.body = await reader.readexactly(int(request.headers["content-length"]))
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is None:
            await reader.read()
        else:
            writer.write(f"HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()
        writer.close()


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    endpoint = Endpoint()
    server = await asyncio.start_server(endpoint.serve, "127.0.0.1", 0)
    endpoint.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/push?a=b"
    yield endpoint
    server.close()


@pytest.fixture
async def server() -> AsyncIterator[PubSubServer]:
    async with PubSubServer(least_ack_deadline=SHORTEST) as server:
        server.create_topic("jobs")
        yield server


def subscribe(server: PubSubServer, endpoint: Endpoint, **order: object) -> str:
    return server.create_subscription(
        "push", "jobs", SubscriptionOrder(push_endpoint=endpoint.url, **order)
    )


class TestEnvelope:
    async def test_it_is_as_google_documents_it(
        self, server: PubSubServer, endpoint: Endpoint
    ) -> None:
        name = subscribe(server, endpoint)
        given = server.publish("jobs", b"\x00data", {"kind": "job"}, ordering_key="k")
        await eventually(lambda: endpoint.requests)
        (message,) = server.messages("jobs")
        envelope = endpoint.requests[0].envelope
        inner = envelope["message"]
        assert isinstance(inner, dict)
        assert envelope["subscription"] == name
        assert base64.b64decode(inner["data"]) == b"\x00data"
        assert (inner["attributes"], inner["orderingKey"]) == ({"kind": "job"}, "k")
        assert inner["messageId"] == inner["message_id"] == given
        assert inner["publishTime"][:19] == message.published_at.isoformat()[:19]
        assert "deliveryAttempt" not in envelope
        assert endpoint.requests[0].head.startswith("POST /push?a=b HTTP/1.1\r\n")

    async def test_a_message_without_data_has_no_such_field(
        self, server: PubSubServer, endpoint: Endpoint
    ) -> None:
        subscribe(server, endpoint)
        server.publish("jobs", attributes={"a": "b"})
        await eventually(lambda: endpoint.requests)
        assert "data" not in json.dumps(endpoint.requests[0].envelope)

    async def test_the_attempt_is_told_where_there_are_dead_letters(
        self, server: PubSubServer, endpoint: Endpoint
    ) -> None:
        endpoint.answers = ["500 No", "204 No Content"]
        subscribe(server, endpoint, dead_letter_topic="undeliverable")
        server.publish("jobs", b"x")
        await eventually(lambda: len(endpoint.requests) == 2)
        assert [each.envelope["deliveryAttempt"] for each in endpoint.requests] == [1, 2]

    async def test_without_a_wrapper_the_body_is_the_data(
        self, server: PubSubServer, endpoint: Endpoint
    ) -> None:
        name = subscribe(server, endpoint)
        site = Site("headrace", server.address)
        config = PushConfig(
            push_endpoint=endpoint.url, no_wrapper=PushConfig.NoWrapper(write_metadata=True)
        )
        await asyncio.to_thread(
            site.subscriber.modify_push_config, subscription=name, push_config=config
        )
        given = server.publish("jobs", b"raw")
        await eventually(lambda: endpoint.requests)
        site.close()
        assert endpoint.requests[0].body == b"raw"
        assert endpoint.requests[0].headers["x-goog-pubsub-message-id"] == given


class TestAnswers:
    @pytest.mark.parametrize("status", [102, 200, 201, 202, 204])
    async def test_a_good_one_acknowledges(
        self, server: PubSubServer, endpoint: Endpoint, status: int
    ) -> None:
        endpoint.answers = [f"{status} Fine"]
        subscribe(server, endpoint)
        server.publish("jobs", b"x")
        await eventually(lambda: server.counts("push").acked == 1)
        assert server.push_statuses("push") == {status: 1}

    @pytest.mark.parametrize("status", [203, 302, 400, 404, 503])
    async def test_any_other_brings_the_message_again(
        self, server: PubSubServer, endpoint: Endpoint, status: int
    ) -> None:
        endpoint.answers = [f"{status} No", "204 No Content"]
        subscribe(server, endpoint)
        server.publish("jobs", b"x")
        await eventually(lambda: server.counts("push").acked == 1)
        assert server.push_statuses("push") == {status: 1, 204: 1}

    async def test_none_within_the_ack_deadline_brings_it_again(
        self, server: PubSubServer, endpoint: Endpoint
    ) -> None:
        endpoint.answers = [None, "204 No Content"]
        subscribe(server, endpoint, ack_deadline=SHORTEST)
        server.publish("jobs", b"x")
        await eventually(lambda: server.counts("push").acked == 1)
        assert server.push_statuses("push") == {0: 1, 204: 1}

    async def test_nobody_there_brings_it_again(
        self, server: PubSubServer, endpoint: Endpoint
    ) -> None:
        closed = Endpoint("http://127.0.0.1:9/")
        name = subscribe(server, closed)
        server.publish("jobs", b"x")
        await eventually(lambda: server.push_statuses("push")[0] == 2)
        site = Site("headrace", server.address)
        config = PushConfig(push_endpoint=endpoint.url)
        await asyncio.to_thread(
            site.subscriber.modify_push_config, subscription=name, push_config=config
        )
        site.close()
        await eventually(lambda: server.counts("push").acked == 1)

    async def test_pushing_slows_down_while_it_fails(
        self, server: PubSubServer, endpoint: Endpoint
    ) -> None:
        endpoint.answers = ["500 No"]
        subscribe(server, endpoint)
        server.publish("jobs", b"x")
        await eventually(lambda: len(endpoint.requests) == 4)
        assert endpoint.requests[3].at - endpoint.requests[0].at >= 0.6  # 0.1, 0.2 and 0.4 s

    async def test_with_a_retry_policy_the_message_rests_and_others_do_not(
        self, server: PubSubServer, endpoint: Endpoint
    ) -> None:
        endpoint.answers = ["500 No", "204 No Content"]
        subscribe(server, endpoint, retry=(timedelta(seconds=60), timedelta(seconds=60)))
        server.publish("jobs", b"rests")
        await eventually(lambda: server.counts("push").nacked == 1)
        server.publish("jobs", b"does not")
        await eventually(lambda: server.counts("push").acked == 1)
        assert server.backlog("push") == 1


class TestEndpoints:
    async def test_one_that_is_no_address_is_refused(self, server: PubSubServer) -> None:
        with pytest.raises(RefusedError, match="push endpoint"):
            subscribe(server, Endpoint("nowhere"))

    async def test_pushing_ends_where_messages_are_to_be_pulled(
        self, server: PubSubServer, endpoint: Endpoint
    ) -> None:
        name = subscribe(server, endpoint)
        site = Site("headrace", server.address)
        with contextlib.closing(site):
            await asyncio.to_thread(
                site.subscriber.modify_push_config, subscription=name, push_config=PushConfig()
            )
            server.publish("jobs", b"x")
            assert len(await asyncio.to_thread(site.collect, name)) == 1
        assert endpoint.requests == []

    async def test_nothing_is_pushed_while_the_server_is_down(
        self, server: PubSubServer, endpoint: Endpoint
    ) -> None:
        subscribe(server, endpoint)
        server.stop()
        server.publish("jobs", b"x")
        assert server.counts("push").delivered == 0
        server.start()
        await eventually(lambda: server.counts("push").acked == 1)
        assert len(endpoint.requests) == 1


class TestTokens:
    def token_of(self, endpoint: Endpoint) -> str:
        return endpoint.requests[-1].headers["authorization"].removeprefix("Bearer ")

    async def key_set(self, server: PubSubServer) -> jwt.PyJWKSet:
        async with httpx2.AsyncClient() as client:
            answer = await client.get(server.certificates_url)
        assert answer.status_code == 200
        return jwt.PyJWKSet.from_dict(answer.json())

    async def read(self, server: PubSubServer, token: str, audience: str) -> dict[str, object]:
        kid = jwt.get_unverified_header(token)["kid"]
        key = (await self.key_set(server))[kid]
        claims: dict[str, object] = jwt.decode(
            token, key, ["RS256"], audience=audience, issuer="https://accounts.google.com"
        )
        return claims

    async def test_a_push_carries_one_that_the_published_keys_verify(
        self, server: PubSubServer, endpoint: Endpoint
    ) -> None:
        subscribe(server, endpoint, push_account=ACCOUNT, push_audience="headrace")
        server.publish("jobs", b"x")
        await eventually(lambda: endpoint.requests)
        claims = await self.read(server, self.token_of(endpoint), "headrace")
        assert (claims["email"], claims["email_verified"]) == (ACCOUNT, True)

    async def test_it_is_for_the_endpoint_unless_somebody_is_named(
        self, server: PubSubServer, endpoint: Endpoint
    ) -> None:
        subscribe(server, endpoint, push_account=ACCOUNT)
        server.publish("jobs", b"x")
        await eventually(lambda: endpoint.requests)
        await self.read(server, self.token_of(endpoint), endpoint.url)

    async def test_there_is_none_without_an_account(
        self, server: PubSubServer, endpoint: Endpoint
    ) -> None:
        subscribe(server, endpoint)
        server.publish("jobs", b"x")
        await eventually(lambda: endpoint.requests)
        assert "authorization" not in endpoint.requests[0].headers

    async def test_wrong_ones_can_be_made(self, server: PubSubServer) -> None:
        token = server.token("headrace", ACCOUNT, email_verified=False, sub=None)
        claims = await self.read(server, token, "headrace")
        assert claims["email_verified"] is False
        assert "sub" not in claims

    async def test_keys_change_and_the_one_before_stays_known(self, server: PubSubServer) -> None:
        old = server.token("headrace", ACCOUNT)
        server.rotate_keys()
        new = server.token("headrace", ACCOUNT)
        kids = {jwt.get_unverified_header(token)["kid"] for token in (old, new)}
        assert {key.key_id for key in (await self.key_set(server)).keys} == kids
        server.rotate_keys()
        with pytest.raises(KeyError):
            await self.read(server, old, "headrace")

    async def test_their_address_can_fail(self, server: PubSubServer) -> None:
        async with httpx2.AsyncClient() as client:
            with server.inject(Fail(call=Call.CERTIFICATES)):
                assert (await client.get(server.certificates_url)).status_code == 503
            assert (await client.get(f"{server.certificates_url}/other")).status_code == 404
        assert server.calls()[Call.CERTIFICATES] == 1
