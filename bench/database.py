"""The measured PostgreSQL: a fresh database a run, and a quiet server before each."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import urlsplit

import asyncpg

from bench.errors import BenchError

if TYPE_CHECKING:  # asyncpg's classes take no type arguments at run time
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]

POLL_S: Final = 0.05
QUIET_LIMIT_S: Final = 15.0
SETTINGS: Final = (
    "server_version",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "shared_buffers",
    "max_wal_size",
    "wal_level",
)
QUIET: Final = r"""
select count(*) = 0 from pg_stat_activity
where pid <> pg_backend_pid() and datname like 'bench\_%'
and (backend_type = 'autovacuum worker' or state = 'active')
"""

WARM_UP: Final = """
create table bench_warm_up as select repeat(md5(n::text), 30) from generate_series(1, 400000) as n
"""


class Server:
    """A PostgreSQL server that the benchmark may create databases on."""

    def __init__(self, url: str, connection: "Connection") -> None:
        self._url = url
        self._connection = connection
        self._turn = asyncio.Lock()  # works that run at the same time share the connection

    def url(self, database: str) -> str:
        """The URL of one of its databases."""
        return urlsplit(self._url)._replace(path=f"/{database}").geturl()

    async def create(self, database: str, *, template: str = "template0") -> None:
        """Create a database in place of one left by an earlier benchmark."""
        await self.drop(database)
        async with self._turn:
            await self._connection.execute(f"create database {database} template {template}")

    async def drop(self, database: str) -> None:
        """Drop a database and cut its connections."""
        async with self._turn:
            await self._connection.execute(f"drop database if exists {database} with (force)")

    async def warm_up(self) -> None:
        """Write WAL once round: the first to write into a new server creates its segment files."""
        await self._connection.execute("drop table if exists bench_warm_up")
        await self._connection.execute(WARM_UP)
        await self._connection.execute("checkpoint")
        await self._connection.execute("drop table bench_warm_up")

    async def settings(self) -> dict[str, str]:
        """The settings that the figures depend on."""
        return {name: await self._connection.fetchval(f"show {name}") for name in SETTINGS}


async def settle(connection: "Connection") -> None:
    """Collect a database's statistics, write everything out and wait, not for ever, for quiet."""
    await connection.execute("analyze")
    await connection.execute("checkpoint")
    end = monotonic() + QUIET_LIMIT_S
    quiet = False
    while not quiet and monotonic() < end:
        await asyncio.sleep(POLL_S)
        quiet = await connection.fetchval(QUIET)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator["Connection"]:
    """A connection, closed at the end.

    Raises:
        BenchError: No server answers at this URL, or it refuses the user.
    """
    try:
        connection = await asyncpg.connect(url)
    except (OSError, asyncpg.PostgresError) as error:
        raise BenchError(f"no PostgreSQL at {url}: {error}") from error
    try:
        yield connection
    finally:
        await connection.close()
