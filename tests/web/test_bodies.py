"""Bodies and requests that are too large, too slow, or no HTTP, over raw sockets."""

import asyncio
import json

import pytest

from headrace.settings import Settings
from headrace.testing import Engine
from headrace.web.protocol import GuardedProtocol, close_overdue
from tests.waiting import eventually
from tests.web.pipes import PIPELINES
from tests.web.serving import SETTINGS, Api, serve
from tests.web.sockets import Line, dial

JSON = "Content-Type: application/json"
CHUNKED = "Transfer-Encoding: chunked"
BODY = b'{"pipeline":"double","payload":1}'


async def problem(line: Line, status: int) -> dict[str, object]:
    """The problem in the next answer, which has this status."""
    got, headers, body = await line.answer()
    assert got == status, body
    assert headers["content-type"] == "application/problem+json"
    told: dict[str, object] = json.loads(body)
    return told


async def trickle(line: Line) -> None:
    """Send on and on, at the pace of a slow client."""
    while True:
        await line.send(b" " * 1_000)
        await asyncio.sleep(0.02)


class TestSize:
    """A1: a body is refused for its size before it is read to its end."""

    async def test_an_announced_one_is_refused_before_it_is_read(self, api: Api):
        async with dial(api) as line:
            await line.send(line.head(JSON, "Content-Length: 5000001"))
            told = await problem(line, 413)
            assert told["code"] == "PAYLOAD_TOO_LARGE"
            assert await line.is_closed()

    async def test_one_without_length_is_refused_as_soon_as_it_is_too_long(self, api: Api):
        async with dial(api) as line:
            await line.send(line.head(JSON, CHUNKED))
            chunk = b"80000\r\n" + b" " * 0x80000 + b"\r\n"
            for _ in range(11):
                await line.send(chunk)
            assert (await problem(line, 413))["code"] == "PAYLOAD_TOO_LARGE"
        assert await api.engine.jobs() == []

    async def test_whoever_sends_all_of_it_reads_why_it_is_refused(self, api: Api):
        async with dial(api) as line:
            head = line.head("Content-Type: application/json", "Content-Length: 20000000")
            await line.send(head + b" " * 20_000_000)
            status, headers, body = await line.answer()
            assert (status, headers["connection"]) == (413, "close")
            assert b"PAYLOAD_TOO_LARGE" in body
            assert await line.is_closed()

    async def test_whoever_sends_on_for_ever_is_cut_off(self, api: Api):
        async with dial(api) as line:
            await line.send(line.head("Content-Type: application/json", "Content-Length: 9000000"))
            assert (await line.answer())[0] == 413
            async with asyncio.timeout(20):
                with pytest.raises(ConnectionError):
                    await trickle(line)

    async def test_other_types_have_their_own_limit_and_are_refused(self, api: Api):
        async with dial(api) as line:
            await line.send(line.head("Content-Type: text/csv", "Content-Length: 5") + b"a,b,c")
            assert (await problem(line, 415))["code"] == "UNSUPPORTED_MEDIA_TYPE"
            await line.send(line.head("Content-Type: text/csv", "Content-Length: 10000001"))
            await problem(line, 413)

    async def test_a_packed_one_is_refused_as_such(self, api: Api):
        async with dial(api) as line:
            head = line.head(JSON, "Content-Encoding: gzip", f"Content-Length: {len(BODY)}")
            await line.send(head + BODY)
            assert (await problem(line, 415))["detail"] == "send the body without a coding"

    @pytest.mark.parametrize(
        "lines",
        [
            ("Content-Length: x",),
            ("Content-Length: -1",),
            ("Content-Length: 5", "Content-Length: 6"),
            ("Content-Length: 5", CHUNKED),
            ("Content-Length: " + "9" * 30,),
        ],
    )
    async def test_a_false_length_is_no_request(self, api: Api, lines: tuple[str, ...]):
        async with dial(api) as line:
            await line.send(line.head(JSON, *lines))
            status, _, _ = await line.answer()
            assert status in {400, 413}
            assert await line.is_closed()

    async def test_what_follows_a_shorter_body_is_another_request(self, api: Api):
        async with dial(api) as line:
            length = f"Content-Length: {len(BODY)}"
            await line.send(
                line.head(JSON, length) + BODY + b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n"
            )
            assert (await line.answer())[0] == 202
            assert (await line.answer())[0] == 404


class TestSlowness:
    """A1, A10: who sends slowly, or nothing, is given up in time."""

    async def test_a_body_that_stays_away_is_given_up(self, database_server: str):
        settings = Settings(**{**SETTINGS.model_dump(exclude_unset=True), "request_limit_s": 1})
        engine = Engine(PIPELINES, server=database_server, settings=settings)
        async with engine, serve(engine) as quick, dial(quick) as line:
            await line.send(line.head(JSON, "Content-Length: 30") + BODY[:10])
            assert (await problem(line, 408))["code"] == "TIMEOUT"
            assert await line.is_closed()
            assert await quick.engine.jobs() == []

    async def test_headers_that_do_not_end_are_given_up(self, api: Api):
        async with dial(api) as silent, dial(api) as slow, dial(api) as busy:
            await slow.send(b"GET /v1/jobs HTTP/1.1\r\nHost: a\r\nX-A: b\r\n")
            await busy.send(busy.head(method="GET"))
            assert (await busy.answer())[0] == 200
            await eventually(lambda: len(api.server.server_state.connections) >= 3)
            for connection in api.server.server_state.connections:
                assert isinstance(connection, GuardedProtocol)
            later = asyncio.get_running_loop().time() + 11
            close_overdue(api.server.server_state.connections, later)
            assert await silent.is_closed()
            assert await slow.is_closed()
            await busy.send(busy.head(method="GET"))
            assert (await busy.answer())[0] == 200

    async def test_headers_without_end_are_refused(self, api: Api):
        async with dial(api) as line:
            await line.send(b"GET /v1/jobs HTTP/1.1\r\n")
            filler = b"X-A: " + b"b" * 8_000 + b"\r\n"
            for _ in range(6):
                await line.send(filler)
            assert (await line.answer())[0] == 431


class TestOddRequests:
    """A12: no path, method or version brings a 500, and none names another host."""

    @pytest.mark.parametrize(
        ("request_line", "statuses"),
        [
            (b"GET v1/jobs HTTP/1.1", {400}),
            (b"GET http://evil.example/v1/jobs HTTP/1.1", {200}),
            (b"GET //evil.example/v1/jobs HTTP/1.1", {404}),
            (b"GET /v1/jobs/../jobs HTTP/1.1", {404}),
            (b"GET /v1/jobs/ HTTP/1.1", {404}),
            (b"GET /v1/jobs%00 HTTP/1.1", {404}),
            (b"GET /v1/jobs/%ff HTTP/1.1", {400}),
            (b"GET /v1/jobs\xff HTTP/1.1", {400}),
            (b"OPTIONS * HTTP/1.1", {400, 404, 405}),
            (b"CONNECT evil.example:443 HTTP/1.1", {400, 404, 405}),
            (b"TRACE /v1/jobs HTTP/1.1", {405}),
            (b"PATCH /v1/jobs HTTP/1.1", {405}),
            (b"FOO /v1/jobs HTTP/1.1", {400}),
            (b"GET /v1/jobs HTTP/9.9", {400}),
            (b"\x16\x03\x01\x02\x00\x01", {400}),
        ],
    )
    async def test_they_get_an_answer_that_is_no_500(
        self, api: Api, request_line: bytes, statuses: set[int]
    ):
        async with dial(api) as line:
            head = f"\r\nHost: api\r\nAuthorization: Bearer {line.key}\r\n\r\n".encode()
            await line.send(request_line + head)
            status, headers, _ = await line.answer()
            assert status in statuses
            assert "evil" not in headers.get("location", "")

    async def test_an_upgrade_is_an_ordinary_request(self, api: Api):
        async with dial(api) as line:
            await line.send(line.head("Connection: Upgrade", "Upgrade: websocket", method="GET"))
            assert (await line.answer())[0] == 200


class TestClientsThatLeave:
    """A10: nothing is left half done."""

    async def test_a_job_is_stored_whole_or_not_at_all(self, api: Api):
        length = f"Content-Length: {len(BODY)}"
        for _ in range(20):
            async with dial(api) as line:
                await line.send(line.head(JSON, length) + BODY)
        for _ in range(5):
            async with dial(api) as line:
                await line.send(line.head(JSON, length) + BODY[:10])
        await eventually(lambda: self.everything_has_ended(api))
        for row in await api.engine.jobs():
            assert len(await api.engine.events(row.id)) == 1
        await api.engine.run_until_empty()
        assert {row.state for row in await api.engine.jobs()} <= {"completed"}

    async def everything_has_ended(self, api: Api) -> bool:
        return not api.server.server_state.tasks
