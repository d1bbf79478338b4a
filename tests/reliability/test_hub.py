"""Those who wait for a change of another process are woken by it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import asyncpg
import pytest

from headrace.reliability.hub import CHANNEL, Hub
from headrace.store.pool import connect
from tests.proxy import proxy_to
from tests.waiting import eventually

NAME = "headrace changes"


@pytest.fixture
async def other(empty_database: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """The connection of another process."""
    connection = await connect(empty_database)
    yield connection
    await connection.close()


@pytest.fixture
async def hub(empty_database: str) -> AsyncIterator[Hub]:
    hub = Hub(partial(connect, empty_database, name=NAME))
    yield hub
    await hub.close()


async def ring(other: asyncpg.Connection[asyncpg.Record], payload: str) -> None:
    await other.execute("select pg_notify($1, $2)", CHANNEL, payload)


async def sessions(other: asyncpg.Connection[asyncpg.Record]) -> list[int]:
    rows = await other.fetch(
        "select pid from pg_stat_activity"
        " where application_name = $1 and datname = current_database()",
        NAME,
    )
    return [row["pid"] for row in rows]


class TestListening:
    async def test_who_listens_hears_what_was_rung_for_him_alone(
        self, hub: Hub, other: asyncpg.Connection[asyncpg.Record]
    ) -> None:
        mine: list[str | None] = []
        others: list[str | None] = []
        hub.listen("lock", "acme:repo:42", mine.append)
        hub.listen("lock", "acme:repo:43", others.append)
        await eventually(lambda: hub.is_listening)
        await ring(other, "breaker:acme:repo:42")
        await ring(other, "lock:acme:repo:42")
        await eventually(lambda: mine == [None, "acme:repo:42"])
        assert others == [None]

    async def test_who_left_hears_nothing(
        self, hub: Hub, other: asyncpg.Connection[asyncpg.Record]
    ) -> None:
        gone: list[str | None] = []
        here: list[str | None] = []
        leave = hub.listen("lock", "a", gone.append)
        hub.listen("lock", "a", here.append)
        await eventually(lambda: hub.is_listening)
        leave()
        leave()
        await ring(other, "lock:a")
        await eventually(lambda: here == [None, "a"])
        assert gone == [None]

    async def test_all_share_one_connection_that_the_first_one_opens(
        self, hub: Hub, other: asyncpg.Connection[asyncpg.Record]
    ) -> None:
        assert await sessions(other) == []
        assert not hub.is_listening
        for number in range(10):
            hub.listen("limit", str(number), lambda _text: None)
        await eventually(lambda: hub.is_listening)
        assert len(await sessions(other)) == 1

    async def test_closing_leaves_no_connection_and_it_can_be_opened_again(
        self, hub: Hub, other: asyncpg.Connection[asyncpg.Record]
    ) -> None:
        hub.listen("lock", "a", lambda _text: None)
        await eventually(lambda: hub.is_listening)
        await hub.close()
        assert not hub.is_listening

        async def nobody_is_connected() -> bool:
            return not await sessions(other)

        await eventually(nobody_is_connected)
        heard: list[str | None] = []
        hub.listen("lock", "b", heard.append)
        await eventually(lambda: hub.is_listening)
        await ring(other, "lock:b")
        await eventually(lambda: heard == [None, "b"])


class TestLosingTheConnection:
    async def test_a_connection_that_was_ended_is_replaced_and_all_look_again(
        self, hub: Hub, other: asyncpg.Connection[asyncpg.Record]
    ) -> None:
        heard: list[tuple[str | None, bool]] = []
        hub.listen("lock", "a", lambda text: heard.append((text, hub.is_listening)))
        await eventually(lambda: hub.is_listening)
        (session,) = await sessions(other)
        await other.execute("select pg_terminate_backend($1)", session)
        # When it was opened, when it was gone, when it was there again.
        await eventually(lambda: heard == [(None, True), (None, False), (None, True)])
        await ring(other, "lock:a")
        await eventually(lambda: heard[-1] == ("a", True))

    async def test_it_is_opened_when_the_server_comes_back(
        self, empty_database: str, other: asyncpg.Connection[asyncpg.Record]
    ) -> None:
        async with proxy_to(empty_database) as proxy:
            proxy.refuse()
            hub = Hub(partial(connect, proxy.address, name=NAME))
            heard: list[str | None] = []
            hub.listen("lock", "a", heard.append)
            proxy.accept()
            await eventually(lambda: hub.is_listening)
            await ring(other, "lock:a")
            await eventually(lambda: heard == [None, "a"])
            await hub.close()


class TestBehindAPooler:
    async def test_nothing_is_heard_and_it_says_so_and_keeps_no_connection(
        self, empty_database: str, other: asyncpg.Connection[asyncpg.Record]
    ) -> None:
        async with proxy_to(empty_database, is_pooler=True) as proxy:
            asked: list[int] = []

            async def connect_one() -> asyncpg.Connection[asyncpg.Record]:
                connection = await connect(proxy.address, name=NAME)
                asked.append(1)
                return connection

            hub = Hub(connect_one)
            hub.listen("lock", "a", lambda _text: None)

            async def nobody_is_connected() -> bool:
                return asked == [1] and not await sessions(other)

            await eventually(nobody_is_connected)
            hub.listen("lock", "b", lambda _text: None)
            assert not hub.is_listening
            await eventually(nobody_is_connected)
            await hub.close()
