import functools
from collections.abc import AsyncIterator

import pytest

from headrace import CircuitBreaker, Headrace
from headrace.testing import Engine
from tests.engine.conftest import MakeEngine
from tests.engine_rows import Rows
from tests.reliability.locking import MakeLocks, locks_of


@pytest.fixture
async def make_locks(database: str) -> AsyncIterator[MakeLocks]:
    """Makes the locks of one process more."""
    async with locks_of(database) as make:
        yield make


@pytest.fixture
async def lock_rows(database: str) -> AsyncIterator[Rows]:
    """A connection to look into the database of `make_locks`."""
    rows = await Rows.open(database)
    yield rows
    await rows.close()


@pytest.fixture
async def app(database: str) -> AsyncIterator[Headrace]:
    async with Headrace([], database=database) as app:
        yield app


@pytest.fixture
async def other(database: str) -> AsyncIterator[Headrace]:
    """Another process, as far as the database can tell."""
    async with Headrace([], database=database) as app:
        yield app


@pytest.fixture
def breaker() -> CircuitBreaker:
    return CircuitBreaker("openai")


@pytest.fixture
def make_engine(database_server: str) -> MakeEngine:
    """Makes an engine on the server of this test run."""
    return functools.partial(Engine, server=database_server)
