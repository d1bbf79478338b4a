"""Broken lines, servers that restart or ask to wait: nothing is lost, and nothing comes twice."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from headrace import RemoteClient
from headrace.errors import DatabaseUnavailableError
from headrace.remote import (
    BudgetExhaustedError,
    ForeignAnswerError,
    JobEvent,
    RateLimitedError,
    ServerError,
    ServiceUnavailableError,
    TooLargeError,
)
from headrace.testing import Engine
from headrace.web.app import create_api
from tests.proxy import proxy_to
from tests.remote.wires import Wire, answer, script
from tests.waiting import eventually
from tests.web.followed import QUICK, fan, gate, held
from tests.web.pipes import double
from tests.web.serving import SETTINGS, Api, serve, who
from tests.web.sse import hub_of

STORED = answer(202, '{"job_id": "0192f1e2-1234-7abc-8def-001122334455"}')


def problem(code: str, status: int, **headers: str) -> bytes:
    body = f'{{"code": "{code}", "detail": "because", "request_id": "r1"}}'
    return answer(status, body, "application/problem+json", **headers)


async def jobs_of(api: Api) -> list[str]:
    return [job.id for job in (await api.engine.app.list_jobs()).items]


class TestSubmissions:
    @pytest.mark.parametrize("after", [0, 1, 40, 700])
    async def test_an_answer_that_breaks_off_makes_no_second_job(
        self, api: Api, wire: Wire, token: str, *, after: int
    ):
        wire.cut_after = [after]
        async with RemoteClient(wire.url, token=token) as patient:  # a third try would be its own
            job = await patient.submit(double, 1)
        assert await jobs_of(api) == [job.id]
        assert wire.connections == 2

    async def test_an_answer_that_does_not_come_makes_no_second_job(
        self, api: Api, wire: Wire, far: RemoteClient
    ):
        await far.list_jobs().page()
        wire.fall_silent()
        submitting = asyncio.create_task(far.submit(double, 1))
        await eventually(lambda: wire.connections == 2)  # the first was given up
        wire.speak()
        job = await submitting
        assert await jobs_of(api) == [job.id]

    async def test_a_second_retry_of_the_same_call_opens_no_second_run(
        self, wire: Wire, far: RemoteClient
    ):
        job = await far.submit(double, 1)
        await job.cancel()
        wire.cut()
        wire.cut_after = [10, 10]
        assert await job.retry("again") == 2
        assert (await job.status()).run == 2

    async def test_a_server_that_is_away_for_a_while_is_waited_for(
        self, api: Api, wire: Wire, far: RemoteClient
    ):
        port, wire.port = wire.port, None
        submitting = asyncio.create_task(far.submit(double, 1))
        await eventually(lambda: wire.connections > 1)
        wire.port = port
        job = await submitting
        assert await jobs_of(api) == [job.id]

    async def test_one_that_stays_away_is_told_when_patience_is_over(self, wire: Wire):
        wire.port = None
        async with RemoteClient(wire.url, patience=0.3) as client:
            with pytest.raises(ServiceUnavailableError, match=r"POST http://.*/v1/jobs: no answer"):
                await client.submit(double, 1)


class TestWaitingAsAsked:
    @pytest.mark.parametrize(("code", "status"), [("DATABASE_ERROR", 503), ("RATE_LIMITED", 429)])
    async def test_a_call_comes_back_when_the_server_says_with_the_same_key(
        self, code: str, status: int
    ):
        async with (
            script(problem(code, status, Retry_After="1"), STORED) as server,
            RemoteClient(server.url) as client,
        ):
            began = time.monotonic()
            await client.submit(double, 1)
            assert time.monotonic() - began >= 1
        first, second = server.header("Idempotency-Key")
        assert first == second
        assert server.requests[0] == server.requests[1]

    async def test_a_request_that_is_still_served_is_asked_for_again(self):
        busy = problem("CONFLICT", 409, Retry_After="0")
        async with (
            script(busy, busy, answer(202, '{"run": 2}')) as server,
            RemoteClient(server.url) as client,
        ):
            job = "0192f1e2-1234-7abc-8def-001122334455"
            assert await client.retry(job, "again") == 2

    @pytest.mark.parametrize(
        ("code", "status", "kind"),
        [
            ("RATE_LIMITED", 429, RateLimitedError),
            ("DATABASE_ERROR", 503, DatabaseUnavailableError),
            ("UNAVAILABLE", 503, ServiceUnavailableError),
            ("BUDGET_EXHAUSTED", 429, BudgetExhaustedError),
        ],
    )
    async def test_a_wait_beyond_patience_is_told_at_once(
        self, code: str, status: int, kind: type[RateLimitedError]
    ):
        async with (
            script(problem(code, status, Retry_After="60")) as server,
            RemoteClient(server.url, patience=5) as client,
        ):
            with pytest.raises(kind, match="because") as told:
                await client.submit(double, 1)
        assert told.value.retry_after.total_seconds() == 60
        assert len(server.requests) == 1
        assert any("r1" in note for note in told.value.__notes__)

    async def test_the_limits_of_a_real_server_are_kept(self, database_server: str):
        settings = SETTINGS.model_copy(update={"rate_submit": 1})
        engine = Engine([double], server=database_server, settings=settings)
        async with engine, serve(engine) as api:
            key = await api.key(who())
            async with RemoteClient(api.url, token=key, patience=0) as client:
                calls = [client.submit(double, 1) for _ in range(4)]
                with pytest.raises(RateLimitedError) as told:
                    await asyncio.gather(*calls)
        assert 0 < told.value.retry_after.total_seconds() <= 60

    async def test_an_outage_of_its_database_is_waited_out(self, database_server: str):
        engine = Engine([double], server=database_server, settings=SETTINGS)
        async with engine, proxy_to(engine.database) as proxy:
            app = engine.app_with([double], database=proxy.address)
            async with app, serve(engine, made=create_api(app)) as api:
                refused = (await api.client()).get
                client = RemoteClient(api.url, token=await api.key(who()))
                job = await client.submit(double, 1)
                proxy.refuse()
                proxy.cut()
                asking = asyncio.create_task(job.status())
                assert (await refused(f"/v1/jobs/{job.id}")).status_code == 503
                assert not asking.done()
                proxy.accept()
                assert (await asking).state == "queued"
                await client.close()


class TestOtherServers:
    @pytest.mark.parametrize(
        ("given", "kind", "told"),
        [
            (answer(200, "<html>", "text/html"), ForeignAnswerError, "is no JSON"),
            (answer(404, "<html>", "text/html"), ForeignAnswerError, "is it the address"),
            (answer(200, "[]"), ForeignAnswerError, "without the id of a job"),
            (
                answer(302, Location="https://user:pw@other.example/x?token=1"),
                ForeignAnswerError,
                "points to https://other.example:",
            ),
            (answer(413, "", "text/html"), TooLargeError, "413"),
            (problem("INTERNAL_ERROR", 500), ServerError, r"because \(request r1\)"),
            (answer(500, "oops", "text/plain"), ServerError, "500"),
        ],
    )
    async def test_what_they_say_is_told_in_one_line(
        self, given: bytes, kind: type[Exception], told: str
    ):
        async with script(given) as server, RemoteClient(server.url) as client:
            with pytest.raises(kind, match=told) as error:
                await client.submit(double, 1)
        assert len(str(error.value).splitlines()) == 1
        assert len(server.requests) == 1


async def undisturbed(client: RemoteClient, job: str) -> list[JobEvent]:
    return [event async for event in client.events(job)]


class TestEvents:
    async def test_none_is_missing_and_none_comes_twice_however_often_the_line_breaks(
        self, api: Api, wire: Wire, client: RemoteClient, far: RemoteClient
    ):
        job = await client.submit(fan, 40)
        wire.cut_after = [700, 1_300, 2_500, 0, 900, 4_000, 1_700]
        async with api.engine.worker():
            seen = [event async for event in far.job(job.id).events()]
        assert wire.cut_after == []
        ends = [event for event in seen if event.name != "progress"]
        assert ends == [
            event for event in await undisturbed(client, job.id) if event.name != "progress"
        ]
        assert len({event.id for event in seen}) == len(seen)
        assert ends[-1].data["result"] == [number**2 for number in range(40)]

    async def test_they_go_on_after_the_last_that_is_known(self, api: Api, client: RemoteClient):
        job = await client.submit(fan, 3)
        await api.engine.run_until_empty()
        events = await undisturbed(client, job.id)
        for place in (0, 3, len(events) - 1):
            rest = [event async for event in job.events(after=events[place].id)]
            assert rest == events[place + 1 :]

    async def test_a_line_that_falls_silent_is_given_up(
        self, api: Api, wire: Wire, client: RemoteClient, far: RemoteClient
    ):
        async with api.engine.worker():
            job = await client.submit(held, 71)
            events = aiter(far.job(job.id).events())
            first = await anext(events)
            wire.fall_silent()
            gate.of(71).set()
            await client.job(job.id).result(timeout=10)
            before = wire.connections
            rest = asyncio.create_task(_all(events))
            await eventually(lambda: wire.connections > before)
            wire.speak()
            names = [event.name for event in [first, *await rest]]
        assert names[0] == "state"
        assert names[-1] == "result"
        assert names.count("result") == 1

    async def test_pages_are_read_where_streams_do_not_come_through(
        self, api: Api, wire: Wire, client: RemoteClient, far: RemoteClient
    ):
        wire.holds_streams = True
        job = await client.submit(fan, 3)
        await api.engine.run_until_empty()
        seen = [event async for event in far.job(job.id).events()]
        assert seen == await undisturbed(client, job.id)

    async def test_who_stops_reading_leaves_no_stream_open(self, api: Api, client: RemoteClient):
        job = await client.submit(double, 1)
        async for event in job.events():
            assert event.name == "state"
            assert hub_of(api).streams == 1
            break
        await eventually(lambda: hub_of(api).streams == 0)


async def _all(events: AsyncIterator[JobEvent]) -> list[JobEvent]:
    return [event async for event in events]


class TestRestarts:
    async def test_waiting_and_following_outlive_the_server(
        self, api: Api, wire: Wire, far: RemoteClient
    ):
        number = 72
        async with api.engine.worker():
            job = await far.submit(held, number)
            works = [
                asyncio.create_task(job.result(timeout=30)),
                asyncio.create_task(job.result(timeout=30, live=False)),
                asyncio.create_task(_all(aiter(job.events()))),
            ]
            await eventually(lambda: hub_of(api).streams == 2)
            wire.port = None
            api.server.stop()
            wire.cut()
            gate.of(number).set()
            async with serve(api.engine, pace=QUICK) as other:
                wire.port = other.port
                live, polled, events = await asyncio.gather(*works)
        assert (live, polled) == (number, number)
        assert events[-1].name == "result"
        assert len({event.id for event in events}) == len(events)

    async def test_following_ends_with_an_error_when_it_stays_away(
        self, api: Api, wire: Wire, token: str
    ):
        async with RemoteClient(wire.url, token=token, patience=0.5) as client:
            job = await client.submit(double, 1)
            waiting = asyncio.create_task(job.result())
            await eventually(lambda: hub_of(api).streams)
            wire.port = None
            wire.cut()
            with pytest.raises(ServiceUnavailableError):
                await waiting


class TestPatience:
    async def test_a_server_that_never_answered_gets_less_of_it(self, api: Api, token: str):
        async with RemoteClient(api.url, token=token) as client:
            transport = client._transport
            assert transport._patience_s() == 10
            await client.list_queues()
            assert transport._patience_s() == 90
