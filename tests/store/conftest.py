"""A database with many jobs, for the tests of a file together."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from headrace.store.databases import fresh_database
from headrace.store.pool import connect
from headrace.store.session import ENGINE_SETTINGS
from tests.store.plans import Connection, fill


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address(database_server: str, template: str) -> AsyncIterator[str]:
    """Of a database with many jobs."""
    async with fresh_database(database_server, template) as address:
        connection = await connect(address, name="plans", settings={"statement_timeout": "60s"})
        await fill(connection)
        await connection.close()
        yield address


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def large(address: str) -> AsyncIterator[Connection]:
    """A connection as the engine's own, to a database with many jobs."""
    settings = {**ENGINE_SETTINGS, "statement_timeout": "60s"}
    connection = await connect(address, name="plans", settings=settings)
    yield connection
    await connection.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clients(address: str) -> AsyncIterator[Connection]:
    """A connection to the same database with the settings of those that serve clients."""
    connection = await connect(address, name="plans")
    yield connection
    await connection.close()
