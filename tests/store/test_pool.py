import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from headrace.errors import DatabaseUnavailableError
from headrace.store.pool import Pool, connect

NOWHERE = "postgresql://postgres@/postgres?host=/nowhere"


@asynccontextmanager
async def deaf_server() -> AsyncIterator[str]:
    """A server that accepts connections and never says a word."""
    done = asyncio.Event()

    async def listen(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await done.wait()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres?sslmode=disable"
    finally:
        done.set()
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def over_tcp(address: str) -> AsyncIterator[str]:
    """The same database by way of a TCP port; the embedded server has only a socket."""
    parts = urlsplit(address)
    folder = parse_qs(parts.query)["host"][0]
    pipes: list[asyncio.Task[None]] = []

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_unix_connection(f"{folder}/.s.PGSQL.5432")
        pipes.extend(
            [asyncio.create_task(carry(reader, forth)), asyncio.create_task(carry(back, writer))]
        )

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        yield f"postgresql://postgres@127.0.0.1:{port}{parts.path}?sslmode=disable"
    finally:
        server.close()
        await asyncio.gather(*pipes)


class TestConnect:
    async def test_every_wait_of_a_session_has_an_end(self, empty_database: str) -> None:
        connection = await connect(empty_database)
        try:
            for name, value in (
                ("statement_timeout", "10s"),
                ("lock_timeout", "3s"),
                ("idle_in_transaction_session_timeout", "15s"),
            ):
                assert await connection.fetchval(f"show {name}") == value
        finally:
            await connection.close()

    async def test_the_session_bears_its_name_and_its_own_settings(
        self, empty_database: str
    ) -> None:
        connection = await connect(empty_database, name="tester", settings={"lock_timeout": "7s"})
        try:
            assert await connection.fetchval("show application_name") == "tester"
            assert await connection.fetchval("show lock_timeout") == "7s"
        finally:
            await connection.close()

    async def test_a_dead_network_is_noticed_by_keepalives(self, empty_database: str) -> None:
        if "host=" not in empty_database:
            pytest.skip("the test server has no socket to relay to")
        async with over_tcp(empty_database) as address:
            connection = await connect(address)
            try:
                raw = connection._transport.get_extra_info("socket")
                assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
                assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 10_000
            finally:
                await connection.close()

    async def test_no_server_is_an_error_that_can_be_waited_out(self) -> None:
        with pytest.raises(DatabaseUnavailableError):
            await connect(NOWHERE)

    async def test_a_server_that_never_answers_is_given_up(self) -> None:
        started = time.monotonic()
        async with deaf_server() as address:
            with pytest.raises(DatabaseUnavailableError, match="no answer within 5 s"):
                await connect(address)
        assert time.monotonic() - started < 7

    async def test_a_database_that_does_not_exist_is_a_mistake(self, empty_database: str) -> None:
        address = urlsplit(empty_database)._replace(path="/no_such_database").geturl()
        with pytest.raises(asyncpg.InvalidCatalogNameError):
            await connect(address)


class TestPool:
    async def test_a_connection_is_used_again(self, empty_database: str) -> None:
        async with Pool(empty_database, largest=1) as pool:
            async with pool.acquire() as first:
                one = await first.fetchval("select pg_backend_pid()")
            async with pool.acquire() as second:
                assert await second.fetchval("select pg_backend_pid()") == one

    async def test_a_transaction_that_was_left_open_is_rolled_back(
        self, empty_database: str
    ) -> None:
        async with Pool(empty_database, largest=1) as pool:
            async with pool.acquire() as connection:
                await connection.execute("begin; create table forgotten ()")
            async with pool.acquire() as connection:
                assert await connection.fetchval("select to_regclass('forgotten')") is None

    async def test_a_use_that_the_server_cuts_off_says_so_and_the_next_one_works(
        self, empty_database: str
    ) -> None:
        async with Pool(empty_database, largest=1) as pool:
            with pytest.raises(DatabaseUnavailableError):
                async with pool.acquire() as connection:
                    await connection.fetch("select pg_terminate_backend(pg_backend_pid())")
            async with pool.acquire() as connection:
                assert await connection.fetchval("select 1") == 1

    async def test_waiting_for_a_free_connection_has_an_end(self, empty_database: str) -> None:
        async with Pool(empty_database, largest=1) as pool, pool.acquire():
            with pytest.raises(DatabaseUnavailableError, match="in use"):
                async with pool.acquire(wait=0.05):
                    pass

    async def test_a_mistake_in_a_statement_comes_through_as_it_is(
        self, empty_database: str
    ) -> None:
        async with Pool(empty_database) as pool:
            with pytest.raises(asyncpg.UndefinedTableError):
                async with pool.acquire() as connection:
                    await connection.fetch("select * from nothing")

    async def test_opening_without_a_server_is_an_error_that_can_be_waited_out(self) -> None:
        with pytest.raises(DatabaseUnavailableError):
            await Pool(NOWHERE).open()

    async def test_a_pool_that_is_not_open_says_so(self) -> None:
        with pytest.raises(DatabaseUnavailableError, match="not open"):
            async with Pool(NOWHERE).acquire():
                pass
