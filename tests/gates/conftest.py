import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from tests.gates.database import GatedDatabase


@pytest.fixture(scope="session")
def gates_database(database_server: str, template: str) -> Iterator[str]:
    """The address of one migrated database for all proofs of gates, which empty it themselves."""
    name = f"headrace_test_{os.getpid()}_gates"
    asyncio.run(_execute(database_server, f'create database "{name}" template "{template}"'))
    yield urlunsplit(urlsplit(database_server)._replace(path=f"/{name}"))
    asyncio.run(_execute(database_server, f'drop database "{name}" with (force)'))


@pytest.fixture
async def gates(gates_database: str) -> AsyncIterator[GatedDatabase]:
    """The statements on empty tables."""
    opened = await GatedDatabase.open(gates_database)
    assert isinstance(opened, GatedDatabase)
    await opened.reset()
    yield opened
    await opened.connection.close()


async def _execute(server: str, statement: str) -> None:
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
