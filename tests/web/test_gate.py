"""What every request passes: ids, safe headers, origins, rates, errors that nobody expected."""

import asyncio
import socket
import sys

import pytest

from headrace.errors import SettingsError
from headrace.settings import Settings, load_settings
from headrace.telemetry.events import Event, Level, add_sink
from headrace.telemetry.request_events import RequestServed
from headrace.testing import Engine
from headrace.web.gate.rates import AddressRates, RateGate
from tests.web.pipes import PIPELINES
from tests.web.serving import SETTINGS, Api, serve
from tests.web.sockets import dial

BODY = {"pipeline": "double", "payload": 1}


def changed(**more: object) -> Settings:
    return Settings(**{**SETTINGS.model_dump(exclude_unset=True), **more})


class TestAnId:
    async def test_the_clients_own_is_kept_and_a_bad_one_replaced(self, api: Api):
        client = await api.client()
        for path in ("/v1/jobs", "/none"):
            answer = await client.get(path, headers={"X-Request-ID": "case-4711"})
            assert answer.headers["X-Request-ID"] == "case-4711"
        for bad in (b"", b"x" * 129, b"a b", "ä".encode()):
            answer = await client.get("/none", headers={b"X-Request-ID": bad})
            assert len(answer.headers["X-Request-ID"]) == 32
            assert answer.json()["request_id"] == answer.headers["X-Request-ID"]

    async def test_each_request_is_told_once_with_its_route(self, api: Api):
        seen: list[Event] = []
        forget = add_sink(seen.append, level=Level.INFO)
        client = await api.client()
        where = (await client.post("/v1/jobs", json=BODY)).headers["Location"]
        await client.get(where, headers={"X-Request-ID": "case-4711"})
        await client.get("/v1/hunter2")
        forget()
        told = [event for event in seen if isinstance(event, RequestServed)]
        assert [(event.method, event.route, event.status) for event in told] == [
            ("POST", "/v1/jobs", 202),
            ("GET", "/v1/jobs/{job_id}", 200),
            ("GET", "unknown", 404),
        ]
        assert told[1].request_id == "case-4711"
        assert told[1].tenant == "acme"


class TestSafeHeaders:
    @pytest.mark.parametrize("path", ["/v1/jobs", "/none", "/openapi.json"])
    async def test_every_answer_has_them(self, api: Api, path: str):
        for client in (await api.client(), await api.stranger()):
            headers = (await client.get(path)).headers
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Content-Security-Policy"].startswith("default-src 'none'")
            assert headers["X-Frame-Options"] == "DENY"
            assert headers["Cache-Control"] == "no-store"
            assert "server" not in headers


DATA_SEGMENTS_IN = slice(152, 156)
"""In what Linux tells of a TCP connection: packets with data that came."""


class TestAnAnswer:
    @pytest.mark.parametrize("path", ["/health", "/v1/none"])
    async def test_its_headers_and_body_come_in_one_packet(self, api: Api, path: str):
        async with dial(api) as line:
            await line.send(line.head(method="GET", path=path))
            _, _, body = await line.answer()
            assert body
            told = line.writer.get_extra_info("socket").getsockopt(
                socket.IPPROTO_TCP, socket.TCP_INFO, 256
            )
            assert int.from_bytes(told[DATA_SEGMENTS_IN], sys.byteorder) == 1


class TestAMethodThatAPathHasNot:
    @pytest.mark.parametrize(
        ("path", "methods"),
        [("/v1/jobs", "GET, POST"), ("/v1/jobs/7", "GET, DELETE"), ("/v1/jobs/7/cancel", "POST")],
    )
    async def test_the_answer_names_all_that_it_has(self, api: Api, path: str, methods: str):
        answer = await (await api.client()).put(path)
        assert (answer.status_code, answer.headers["Allow"]) == (405, methods)


class TestOrigins:
    async def test_only_named_ones_may_use_the_api(self, database_server: str):
        engine = Engine(
            PIPELINES,
            server=database_server,
            settings=changed(cors_origins=("https://app.example.com",)),
        )
        async with engine, serve(engine) as api:
            client = await api.client()
            ask = {"Access-Control-Request-Method": "POST"}
            for origin, allowed in (("https://app.example.com", True), ("https://evil", False)):
                for answer in (
                    await client.options("/v1/jobs", headers={**ask, "Origin": origin}),
                    await client.get("/v1/jobs", headers={"Origin": origin}),
                ):
                    found = answer.headers.get("Access-Control-Allow-Origin")
                    assert found == (origin if allowed else None)

    @pytest.mark.parametrize("origin", ["*", "https://*.example.com", "app.example.com", "null"])
    def test_a_wildcard_stops_the_start(self, origin: str):
        with pytest.raises(SettingsError, match="HEADRACE_CORS_ORIGINS"):
            load_settings({"HEADRACE_CORS_ORIGINS": origin})


class TestRates:
    async def test_one_too_many_is_told_when_to_come_again(self, database_server: str):
        engine = Engine(PIPELINES, server=database_server, settings=changed(rate_submit=3))
        async with engine, serve(engine) as api:
            client = await api.client()
            answers = [await client.post("/v1/jobs", json=BODY) for _ in range(5)]
            assert [answer.status_code for answer in answers] == [202, 202, 202, 429, 429]
            assert answers[-1].json()["code"] == "RATE_LIMITED"
            assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
            assert answers[-1].headers["RateLimit-Remaining"] == "0"
            assert (await client.get("/v1/jobs")).json()["total"] == 3

    async def test_addresses_and_kinds_count_apart_for_a_minute(self):
        now = 100.0
        served: list[str] = []

        async def app(scope, _receive, _send) -> None:  # noqa: ANN001 - an ASGI app
            served.append(scope["path"])

        gate = RateGate(
            app,
            rates=AddressRates(submit=1, status=1, health=0, other=1),
            submits=lambda method, path: (method, path) == ("POST", "/v1/jobs"),
            clock=lambda: now,
        )

        async def is_served(address: str, method: str, path: str) -> bool:
            scope = {"type": "http", "method": method, "path": path, "client": (address, 1)}
            before = len(served)
            await gate(scope, asyncio.Queue().get, lambda _: asyncio.sleep(0))
            return len(served) > before

        assert await is_served("10.0.0.1", "POST", "/v1/jobs")
        assert not await is_served("10.0.0.1", "POST", "/v1/jobs")
        assert await is_served("10.0.0.1", "GET", "/v1/jobs/x")
        assert await is_served("10.0.0.1", "GET", "/v1/jobs")
        assert all([await is_served("10.0.0.1", "GET", "/health") for _ in range(9)])
        assert await is_served("10.0.0.2", "POST", "/v1/jobs")
        assert await is_served("2001:db8::1", "POST", "/v1/jobs")
        assert not await is_served("2001:db8::2", "POST", "/v1/jobs")
        now += 60
        assert await is_served("10.0.0.1", "POST", "/v1/jobs")


class TestTheDocument:
    async def test_pages_of_it_are_for_development_only(self, api: Api):
        assert (await (await api.stranger()).get("/docs")).status_code == 404


class TestVersions:
    async def test_that_of_bodies_is_told_and_may_be_asked_for(self, api: Api):
        client = await api.client()
        for headers in ({}, {"X-Schema-Version": "1.0.0"}):
            answer = await client.get("/v1/jobs", headers=headers)
            assert (answer.status_code, answer.headers["X-Schema-Version"]) == (200, "1.0.0")

    async def test_another_is_refused_before_anything_is_done(self, api: Api):
        client = await api.client()
        for version in ("2.0.0", "1", "", "x" * 200):
            answer = await client.post(
                "/v1/jobs",
                json={"pipeline": "double", "payload": 1},
                headers={"X-Schema-Version": version},
            )
            assert (answer.status_code, answer.json()["code"]) == (400, "UNSUPPORTED_VERSION")
            assert answer.headers["X-Schema-Version"] == "1.0.0"
        assert (await client.get("/v1/jobs")).json()["items"] == []
