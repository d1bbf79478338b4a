import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from tests.proof.database import Database
from tests.proof.world import World, make_world


@pytest.fixture(scope="session")
def proof_database(database_server: str, template: str) -> Iterator[str]:
    """The address of one migrated database for all proofs, which empty it themselves."""
    name = f"headrace_test_{os.getpid()}_proof"
    asyncio.run(_execute(database_server, f'create database "{name}" template "{template}"'))
    yield urlunsplit(urlsplit(database_server)._replace(path=f"/{name}"))
    asyncio.run(_execute(database_server, f'drop database "{name}" with (force)'))


@pytest.fixture
async def engine(proof_database: str) -> AsyncIterator[Database]:
    """The statements of the engine on empty tables."""
    opened = await Database.open(proof_database)
    await opened.reset()
    yield opened
    await opened.connection.close()


@pytest.fixture
async def world(engine: Database) -> World:
    """A database in which everything is in order."""
    return await make_world(engine)


async def _execute(server: str, statement: str) -> None:
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
