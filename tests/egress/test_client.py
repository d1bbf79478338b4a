"""Calls over real sockets: where they go, how long they take, what of the answer is read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from headrace.egress.client import (
    Answer,
    CallError,
    Egress,
    Limits,
    NotConnectedError,
)
from headrace.egress.resolving import locate
from headrace.egress.target import Rules, TargetError, parse_target
from tests.egress.certificates import authority
from tests.egress.receiver import Mood, Names, Receiver, receiving
from tests.waiting import eventually, pulsing

HOST = "hooks.example.com"
HERE = ["127.0.0.1"]
BODY = b'{"kind": "job.completed"}'
SHORT = Limits(total_s=0.6, connect_s=0.3)
"""For who is to be given up; others have the time that a busy machine takes."""
OPEN = Rules(frozenset({"127.0.0.1", HOST, "other.example.com"}))


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


async def call(
    receiver: Receiver,
    *,
    url: str = "http://127.0.0.1:{port}/in?a=b",
    rules: Rules = OPEN,
    **parts: Any,
) -> Answer:
    """The answer of a receiver to one call."""
    egress = Egress(rules, **parts)
    try:
        headers = {"Content-Type": "application/json", "X-Name": "value"}
        return await egress.post(url.format(port=receiver.port), BODY, headers)
    finally:
        await egress.close()


class TestCalls:
    async def test_what_lies_at_an_address_is_read_by_the_same_rules(self, receiver: Receiver):
        receiver.status, receiver.body = 200, b"# The mill"
        egress = Egress(OPEN, limits=Limits(total_s=5.0, answer_bytes=5))
        try:
            answer = await egress.get(f"http://127.0.0.1:{receiver.port}/a", {"X-Name": "value"})
            with pytest.raises(TargetError):
                await egress.get("http://10.0.0.8/a")
        finally:
            await egress.close()
        assert (answer.status, answer.body, answer.is_cut) == (200, b"# The", True)
        [got] = receiver.got
        assert (got.line, got.headers["x-name"], got.body) == ("GET /a HTTP/1.1", "value", b"")

    async def test_what_is_sent_arrives_as_it_is(self, receiver: Receiver):
        receiver.status, receiver.body = 201, b"thanks"
        answer = await call(receiver)
        assert (answer.status, answer.body, answer.is_cut) == (201, b"thanks", False)
        [got] = receiver.got
        assert (got.line, got.body) == ("POST /in?a=b HTTP/1.1", BODY)
        assert got.headers["host"] == f"127.0.0.1:{receiver.port}"
        assert got.headers["content-type"] == "application/json"
        assert got.headers["x-name"] == "value"
        assert got.headers["accept-encoding"] == "identity"

    async def test_nobody_there_is_told_apart(self, receiver: Receiver):
        port, receiver.port = receiver.port, 1
        with pytest.raises(NotConnectedError, match="no connection"):
            await call(receiver)
        receiver.port = port
        assert receiver.connections == 0

    async def test_the_next_address_is_tried_where_nobody_takes_the_connection(
        self, receiver: Receiver
    ):
        names = Names({HOST: [["::1", "127.0.0.1"]]})
        url = f"http://{HOST}:{{port}}/"
        assert (await call(receiver, url=url, resolver=names)).status == 204

    async def test_a_connection_serves_one_call(self, receiver: Receiver):
        receiver.mood = "keeping"
        egress = Egress(OPEN)
        for _ in range(3):
            await egress.post(f"http://127.0.0.1:{receiver.port}/", BODY, {})
        await egress.close()
        assert receiver.connections == 3

    async def test_no_proxy_of_the_environment_is_used(
        self, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ):
        async with receiving() as proxy:
            for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            monkeypatch.delenv("NO_PROXY", raising=False)
            await call(receiver)
            assert (proxy.connections, receiver.connections) == (0, 1)

    async def test_no_cookie_comes_back(self, receiver: Receiver):
        receiver.headers = {"Set-Cookie": "canary=1; Path=/"}
        egress = Egress(OPEN)
        for _ in range(2):
            await egress.post(f"http://127.0.0.1:{receiver.port}/", BODY, {})
        await egress.close()
        assert all("cookie" not in got.headers for got in receiver.got)


class TestW1SlowReceivers:
    """Fault W1: no answer, one byte now and then, or none at all."""

    @pytest.mark.parametrize("mood", ["silent", "slow"])
    async def test_it_takes_no_longer_than_the_limit(self, receiver: Receiver, mood: Mood):
        receiver.mood = mood
        begun = time.monotonic()
        async with pulsing() as pulse:
            with pytest.raises(CallError, match=r"no answer within 0\.6 s"):
                await call(receiver, limits=SHORT)
        assert time.monotonic() - begun >= SHORT.total_s
        assert pulse.seconds < 2 * SHORT.total_s

    @pytest.mark.parametrize("mood", ["closing", "nonsense"])
    async def test_what_is_no_answer_is_told_at_once(self, receiver: Receiver, mood: Mood):
        receiver.mood = mood
        with pytest.raises(CallError, match="no answer: "):
            await call(receiver)

    async def test_others_are_served_meanwhile(self, receiver: Receiver):
        receiver.mood = "silent"
        async with receiving() as other:
            slow = asyncio.create_task(call(receiver))
            await eventually(lambda: receiver.got)
            assert (await call(other)).status == 204
            assert not slow.done()
            slow.cancel()
            await asyncio.wait({slow})

    async def test_a_handshake_that_never_ends_is_given_up(self):
        async with receiving() as receiver:  # speaks no TLS: it waits for more of the request
            with pytest.raises(CallError):
                await call(receiver, url="https://127.0.0.1:{port}/", limits=SHORT)


class TestW2Redirects:
    """Fault W2: an answer that leads elsewhere."""

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    async def test_they_are_not_followed(self, receiver: Receiver, status: int):
        async with receiving() as witness:
            receiver.status = status
            receiver.headers = {"Location": f"http://127.0.0.1:{witness.port}/latest/meta-data"}
            assert (await call(receiver)).status == status
            assert (receiver.connections, witness.connections) == (1, 0)


class TestW3InternalTargets:
    """Fault W3, at the connection: what was checked is what is called."""

    async def test_a_name_that_moved_inside_is_not_called(self, receiver: Receiver):
        names = Names({HOST: [["93.184.215.14"], HERE]})
        url = f"https://{HOST}:8443/"
        assert await locate(parse_target(url, Rules()), names)
        with pytest.raises(TargetError, match="no public host"):
            await call(receiver, url=url, rules=Rules(), resolver=names)
        assert receiver.connections == 0

    async def test_one_private_address_among_public_ones_is_enough(self, receiver: Receiver):
        names = Names({HOST: [["93.184.215.14", *HERE]]})
        with pytest.raises(TargetError, match="no public host"):
            await call(receiver, url=f"https://{HOST}/", rules=Rules(), resolver=names)

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "2130706433", "[::1]"])
    async def test_the_machine_itself_is_not_called(self, receiver: Receiver, host: str):
        url = f"https://{host}:{receiver.port}/"
        with pytest.raises(TargetError):
            await call(receiver, url=url, rules=Rules())
        assert receiver.connections == 0

    async def test_a_name_is_asked_for_once_and_the_call_goes_to_that_address(self):
        # Nobody else knows the name: without the address that was checked there is no way there.
        tls = authority().server("hooks.invalid")
        names = Names({"hooks.invalid": [HERE, ["10.0.0.1"]]})
        rules = Rules(frozenset({"hooks.invalid"}))
        async with receiving(tls) as receiver:
            url = "https://hooks.invalid:{port}/"
            parts = {"resolver": names, "tls": authority().believer(), "rules": rules}
            assert (await call(receiver, url=url, **parts)).status == 204
            assert names.asked == ["hooks.invalid"]
            assert receiver.names == ["hooks.invalid"]
            assert receiver.got[0].headers["host"] == f"hooks.invalid:{receiver.port}"


class TestW5Answers:
    """Fault W5: answers without end, and packed ones."""

    async def test_of_one_without_end_so_much_is_read(self, receiver: Receiver):
        receiver.mood, receiver.status = "flood", 200
        answer = await call(receiver)
        assert (answer.status, len(answer.body), answer.is_cut) == (200, 64 * 1_024, True)
        left = receiver.sent
        assert left < 32 * 1_024 * 1_024

    async def test_nothing_is_unpacked(self, receiver: Receiver):
        receiver.mood, receiver.status = "bomb", 200
        answer = await call(receiver)
        assert answer.body.startswith(b"\x1f\x8b")
        assert len(answer.body) == 64 * 1_024

    async def test_headers_without_end_are_no_answer(self, receiver: Receiver):
        receiver.mood = "heads"
        with pytest.raises(CallError):
            await call(receiver)


class TestW6Certificates:
    """Fault W6, at the connection: certificates, and headers that would be two."""

    async def _refused(self, name: str, **parts: Any) -> Receiver:
        life = parts.pop("life", timedelta(days=1))
        async with receiving(authority().server(name, life=life)) as receiver:
            names = Names({HOST: [HERE]})
            parts = {"resolver": names, "tls": authority().believer(), **parts}
            with pytest.raises(NotConnectedError, match="CERTIFICATE_VERIFY_FAILED"):
                await call(receiver, url=f"https://{HOST}:{{port}}/", **parts)
            return receiver

    async def test_that_of_another_name_is_refused(self):
        receiver = await self._refused("other.example.com")
        assert receiver.names == [HOST]
        assert receiver.got == []

    async def test_that_of_an_unknown_authority_is_refused(self):
        assert (await self._refused(HOST, tls=authority(1).believer())).got == []
        assert (await self._refused(HOST, tls=None)).got == []

    async def test_one_that_ended_is_refused(self):
        assert (await self._refused(HOST, life=timedelta(days=-1))).got == []

    async def test_a_good_one_is_taken(self):
        async with receiving(authority().server(HOST)) as receiver:
            parts = {"resolver": Names({HOST: [HERE]}), "tls": authority().believer()}
            assert (await call(receiver, url=f"https://{HOST}:{{port}}/", **parts)).status == 204

    @pytest.mark.parametrize("text", ["a\r\nX-Evil: 1", "a\nb", "a\x00b"])
    async def test_no_header_becomes_two(self, receiver: Receiver, text: str):
        egress = Egress(OPEN)
        with pytest.raises(ValueError, match="one line"):
            await egress.post(f"http://127.0.0.1:{receiver.port}/", BODY, {"X-Name": text})
        await egress.close()
        assert receiver.connections == 0
