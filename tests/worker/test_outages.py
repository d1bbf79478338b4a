"""A server that crashes or stays away for longer than a lease takes no living worker's jobs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from headrace.store.embedded import EmbeddedDatabase
from headrace.store.migrate import migrate
from headrace.store.pool import connect
from headrace.store.session import ENGINE_SETTINGS, Session
from headrace.store.workers import next_worker
from headrace.telemetry.worker_events import WorkerLost
from headrace.worker.heartbeat import PresenceListener
from headrace.worker.lease import Standing
from headrace.worker.presence import Presence
from headrace.worker.reaper import Reaper
from headrace.worker.timing import Timing
from tests.engine_rows import RULES, Rows, identity
from tests.listening import listening
from tests.store.embedded_users import PROJECT, open_folder
from tests.waiting import eventually

QUICK = Timing().scaled(1 / 10)  # a lease of 3 s, a heartbeat of 0.3 s


class Nobody(PresenceListener):
    """A worker that does nothing about it."""


class Server:
    """A server of this module's own, to be crashed and stopped."""

    def __init__(self, folder: Path) -> None:
        self._database = EmbeddedDatabase(PROJECT, data_folder=folder)
        self.address = self._database.start()

    async def stop(self) -> None:
        await asyncio.to_thread(self._database.stop)

    async def start(self) -> None:
        await asyncio.to_thread(self._database.start)

    async def crash(self) -> None:
        """Kill one backend, so that the server drops all others and its memory."""
        connection = await asyncpg.connect(self.address)
        os.kill(connection.get_server_pid(), signal.SIGKILL)
        connection.terminate()

    async def ask(self, question: str) -> object:
        """An answer, once the server is there."""
        while True:
            with contextlib.suppress(OSError, asyncpg.PostgresError):
                connection = await asyncpg.connect(self.address)
                try:
                    return await connection.fetchval(question)
                finally:
                    await connection.close()
            await asyncio.sleep(0.02)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with open_folder() as made:
        yield made


@pytest.fixture
async def server(folder: Path) -> AsyncIterator[Server]:
    server = await asyncio.to_thread(Server, folder)
    await migrate(server.address)
    yield server
    await server.stop()


@contextlib.asynccontextmanager
async def worker_and_reaper(server: Server) -> AsyncIterator[tuple[Presence, int]]:
    rows = await Rows.open(server.address)
    number = await next_worker(rows.connection)
    presence = Presence(server.address, identity(number), QUICK, listener=Nobody())
    await presence.start()
    await rows.claimed(3, worker=number)
    await rows.close()

    async def connect_one() -> asyncpg.Connection[asyncpg.Record]:
        return await connect(server.address, settings=ENGINE_SETTINGS)

    session = Session(connect_one)
    reaper = Reaper(session, 99, QUICK, RULES)
    reaper.start()
    try:
        await eventually(lambda: reaper.is_judging)
        yield presence, number
        await eventually(lambda: reaper.is_judging)
    finally:
        await reaper.stop()
        session.close()
        await presence.stop()


class TestOutages:
    async def test_a_crash_restart_changes_the_incarnation_and_loses_no_worker(
        self, server: Server
    ) -> None:
        before = await server.ask("select headrace.incarnation()")
        postmaster = await server.ask("select pg_postmaster_start_time()")
        with listening() as told:
            async with worker_and_reaper(server) as (presence, _number):
                await server.crash()
                await eventually(lambda: not presence.has_lock)
                await eventually(lambda: presence.has_lock and presence.is_healthy, within=30)
        assert await server.ask("select pg_postmaster_start_time()") == postmaster
        assert await server.ask("select headrace.incarnation()") != before
        assert told.of(WorkerLost) == []

    async def test_a_server_away_for_longer_than_the_lease_loses_no_worker(
        self, server: Server
    ) -> None:
        with listening() as told:
            async with worker_and_reaper(server) as (presence, number):
                await server.stop()
                lease = f"select expires_at < now() from headrace.workers where id = {number}"  # noqa: S608
                await eventually(lambda: presence.standing is Standing.CANCEL)  # as the lease ends
                await server.start()
                await eventually(lambda: presence.is_healthy, within=30)
                assert await server.ask(lease) is False
        assert told.of(WorkerLost) == []
