"""Many event streams at once, slow clients, clients that leave, a database that goes away."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest

from headrace import Pipeline, StepContext
from headrace.store.following import Place
from headrace.testing import Engine
from headrace.web.app import create_api
from headrace.web.events.hub import Pace
from tests.proxy import Proxy, proxy_to
from tests.waiting import eventually
from tests.web.serving import SETTINGS, Api, serve, who
from tests.web.sse import Event, follow, hub_of, opened

STREAMS = 200
QUICK = Pace(soonest=0.02, latest=0.1)
LINES = (
    "select count(*) from pg_stat_activity where datname = current_database() "
    "and application_name = 'headrace events'"
)

echo = Pipeline("echo", input=str, output=str)


@echo.step
async def say(word: str) -> str:
    return word


endless = Pipeline("endless", input=int, output=int)


@endless.step
async def hang(number: int, ctx: StepContext) -> int:
    ctx.progress(0)
    await asyncio.Event().wait()
    return number


PIPELINES = [echo, endless]


@contextlib.asynccontextmanager
async def running(server: str, pace: Pace = QUICK) -> AsyncIterator[Api]:
    engine = Engine(PIPELINES, server=server, settings=SETTINGS)
    async with engine, serve(engine, pace=pace) as api:
        yield api


@pytest.fixture
async def api(database_server: str) -> AsyncIterator[Api]:
    async with running(database_server) as api:
        yield api


async def later(api: Api) -> str:
    """A job that waits for its time."""
    job = await api.engine.submit(echo, "a", tenant="acme", owner="ann", due=timedelta(hours=1))
    return job.id


async def lines(api: Api) -> int:
    """How many connections the streams of all processes have to the database."""
    async with api.engine.app.connection() as connection:
        return int(await connection.fetchval(LINES))


PILE = 3_000
"""Events of two KiB each: more than fits into sockets whose clients do not read."""
FILL = """
insert into headrace.steps (
    job, run, step, item, state, position, attempts, worker, token, latency_us
)
select id, 1, 'say', repeat('x', 2000) || n, 'completed', 0, 1, 1, token, 1
from headrace.jobs cross join generate_series(1, $2::integer) as n
where id = $1
"""


async def with_a_long_past(api: Api) -> str:
    """A job that has ended, with more to tell than fits into a socket."""
    job = await api.engine.submit(echo, "a", tenant="acme", owner="ann")
    await api.engine.run_until_empty()
    async with api.engine.app.connection() as connection:
        await connection.execute(FILL, job.id, PILE)
    return job.id


class Reader:
    """A client with a socket of its own, which reads when it likes."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    @classmethod
    async def open(cls, api: Api, key: str, job: str) -> Reader:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        sock.setblocking(False)  # noqa: FBT003 - the socket's own
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", api.port))
        request = (
            f"GET /v1/jobs/{job}/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            f"Authorization: Bearer {key}\r\n\r\n"
        )
        await loop.sock_sendall(sock, request.encode())
        return cls(sock)

    async def read(self, until: bytes) -> bytes:
        """What comes, up to these bytes."""
        found = bytearray()
        loop = asyncio.get_running_loop()
        begin = 0
        while until not in found[begin:]:
            begin = max(0, len(found) - len(until))
            piece = await loop.sock_recv(self._sock, 1 << 20)
            if not piece:
                raise EOFError(bytes(found[-200:]))
            found += piece
        return bytes(found)

    def leave(self) -> None:
        self._sock.close()


class TestManyStreams:
    async def test_they_share_one_connection_and_all_reach_the_end(self, api: Api):
        client = await api.client()
        words = ["a"] * STREAMS
        jobs = await api.engine.submit_many(echo, words, tenant="acme", owner="ann")
        async with asyncio.TaskGroup() as group:
            key = await api.key(who())
            readers = [group.create_task(Reader.open(api, key, job.id)) for job in jobs]
        await eventually(lambda: hub_of(api).streams == STREAMS)
        assert await lines(api) == 1
        async with api.engine.worker(concurrency=100):
            ends = await asyncio.gather(*(one.result().read(b"0\r\n\r\n") for one in readers))
        for end in ends:
            assert end.count(b"event: state") == 3
            assert end.count(b"event: step") == 1
            assert end.count(b"event: result") == 1
        assert await follow(client, jobs[0].id)
        for one in readers:
            one.result().leave()
        await eventually(lambda: hub_of(api).streams == 0)

    async def test_clients_that_leave_leave_nothing_behind(self, api: Api):
        key, job = await api.key(who()), await later(api)
        hub = hub_of(api)
        first = await Reader.open(api, key, job)
        await first.read(b"event: state")
        before = len(asyncio.all_tasks())
        readers = [await Reader.open(api, key, job) for _ in range(50)]
        await asyncio.gather(*(reader.read(b"event: state") for reader in readers))
        assert hub.streams == 51
        for reader in readers:
            reader.leave()
        await eventually(lambda: hub.streams == 1)
        await eventually(lambda: len(asyncio.all_tasks()) <= before)
        first.leave()
        await eventually(lambda: hub.streams == 0)
        gc.collect()
        assert not hub._waiting
        assert not [one for one in gc.get_objects() if type(one).__name__ == "EventStream"]

    async def test_a_client_that_does_not_read_holds_up_nobody(self, api: Api):
        job = await with_a_long_past(api)
        hub, client = hub_of(api), await api.client()
        slow = await Reader.open(api, await api.key(who()), job)
        await eventually(lambda: hub.streams == 1)
        assert len(await follow(client, job)) == PILE + 5
        # It is stuck in what it was sent, and nothing more is read for it.
        assert hub.streams == 1
        assert not hub._waiting
        told = await slow.read(b"0\r\n\r\n")
        assert told.count(b"\nevent: ") == PILE + 5
        slow.leave()


class TestTheEndOfAStream:
    async def test_after_its_time_a_stream_ends_and_is_resumed(self, database_server: str):
        async with running(database_server, replace(QUICK, life=0.5)) as api:
            job = await later(api)
            client = await api.client()
            seen: list[Event] = []
            while not seen:  # its time may be over before a busy machine has read anything for it
                async with opened(client, job) as stream:
                    seen = [event async for event in stream]
            assert [event.id for event in seen] == ["1"]
            assert stream.comments[-1] == "to be continued"
            assert await follow(client, job, last=seen[-1].id) == []

    async def test_a_client_that_never_reads_is_given_up_after_its_time(self, database_server: str):
        async with running(database_server, replace(QUICK, life=2)) as api:
            job = await with_a_long_past(api)
            stuck = await Reader.open(api, await api.key(who()), job)
            await eventually(lambda: hub_of(api).streams == 1)
            await eventually(lambda: hub_of(api).streams == 0)
            await eventually(lambda: not api.server.server_state.tasks)
            with pytest.raises(EOFError):
                await stuck.read(b"event: result")
            stuck.leave()

    async def test_when_the_server_stops_streams_end_at_once(self, api: Api):
        job = await later(api)
        async with opened(await api.client(), job, seconds=5) as stream:
            async for _ in stream:
                api.server.stop()
        assert stream.comments == ["the server stops"]

    async def test_the_connection_is_closed_when_nobody_needs_it(self, api: Api):
        job = await later(api)
        async with opened(await api.client(), job):
            await eventually(lambda: lines(api), within=5)
        await eventually(lambda: hub_of(api).streams == 0)
        await hub_of(api).close()
        await eventually(lambda: none(api))


async def none(api: Api) -> bool:
    return not await lines(api)


class TestHints:
    async def test_a_cancel_request_is_followed_at_once(self, database_server: str):
        async with running(database_server) as api, api.engine.worker():
            client = await api.client()
            job = await api.engine.submit(endless, 1, tenant="acme", owner="ann")
            await eventually(lambda: is_running(api, job.id))
            async with opened(client, job.id, seconds=20) as stream:
                async for event in stream:
                    if event.id == "2":
                        await look_no_more(api)
                        assert (await client.post(f"/v1/jobs/{job.id}/cancel", json={})).is_success
            assert (event.name, event.data["state"]) == ("result", "cancelled")


async def look_no_more(api: Api) -> None:
    """Put off the next look at whatever is followed: only a hint can hasten it."""
    waiting = hub_of(api)._waiting
    await eventually(lambda: waiting)
    for watch in waiting:
        watch.due_at += 60


async def is_running(api: Api, job: str) -> bool:
    return (await api.engine.app.status(job)).state == "running"


class Shaky:
    """An API whose database is behind a proxy."""

    def __init__(self, api: Api, proxy: Proxy) -> None:
        self.api, self.proxy = api, proxy


@contextlib.asynccontextmanager
async def behind_proxy(server: str, pace: Pace) -> AsyncIterator[Shaky]:
    engine = Engine(PIPELINES, server=server, settings=SETTINGS)
    async with engine, proxy_to(engine.database) as proxy:
        app = engine.app_with(PIPELINES, database=proxy.address)
        async with app, serve(engine, made=create_api(app, pace=pace)) as api:
            yield Shaky(api, proxy)


class TestOutages:
    async def test_a_short_one_passes_unseen(self, database_server: str):
        async with behind_proxy(database_server, replace(QUICK, outage=30)) as shaky:
            api = shaky.api
            job = await api.engine.submit(echo, "a", tenant="acme", owner="ann")
            async with opened(await api.client(), job.id) as stream:
                seen: list[Event] = []
                async for event in stream:
                    seen.append(event)
                    if event.id == "1":
                        shaky.proxy.refuse()
                        shaky.proxy.cut()
                        await api.engine.run_until_empty()
                        shaky.proxy.accept()
            assert [event.id for event in seen] == ["1", "2", "2.1", "3", "3.1"]

    async def test_a_long_one_ends_streams_which_are_resumed_without_a_gap(
        self, database_server: str
    ):
        async with behind_proxy(database_server, replace(QUICK, outage=0.3)) as shaky:
            api = shaky.api
            job = await api.engine.submit(echo, "a", tenant="acme", owner="ann")
            client = await api.client()
            async with opened(client, job.id) as stream:
                seen: list[Event] = []
                async for event in stream:
                    seen.append(event)
                    shaky.proxy.refuse()
                    shaky.proxy.cut()
            assert stream.comments[-1] == "the database does not answer"
            answer = await client.get(f"/v1/jobs/{job.id}/events")
            assert answer.status_code == 503
            assert int(answer.headers["Retry-After"]) >= 1
            await api.engine.run_until_empty()
            shaky.proxy.accept()
            seen += await follow(client, job.id, last=seen[-1].id)
            assert [event.id for event in seen] == ["1", "2", "2.1", "3", "3.1"]

    async def test_another_connection_follows_the_one_that_was_killed(self, api: Api):
        job = await api.engine.submit(echo, "a", tenant="acme", owner="ann")
        async with opened(await api.client(), job.id) as stream:
            async for event in stream:
                if event.id == "1":
                    async with api.engine.app.connection() as connection:
                        await kill_lines(connection)
                    await api.engine.run_until_empty()
        assert event.id == "3.1"
        assert await lines(api) == 1


async def kill_lines(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    await connection.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity "
        "where datname = current_database() and application_name = 'headrace events'"
    )


class TestPlaces:
    @pytest.mark.parametrize("text", ["", "0", "7", "7.3", "7.3.1795345678123456", "7.0.12"])
    def test_their_texts_are_read_back(self, text: str):
        assert str(Place.parse(text)) == (text or "0")

    @pytest.mark.parametrize("text", ["a", "1.", ".1", "1.2.3.4", "1\n", "-1", "1" * 10, "1 "])
    def test_others_are_refused(self, text: str):
        with pytest.raises(ValueError, match="is no place"):
            Place.parse(text)
