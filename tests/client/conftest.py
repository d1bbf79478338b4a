from collections.abc import AsyncIterator

import pytest

from headrace import Headrace
from headrace.store.lanes import register
from tests.client.pipes import decide, urgent
from tests.engine_rows import Rows


@pytest.fixture
async def app(database: str) -> AsyncIterator[Headrace]:
    async with Headrace([decide, urgent], database=database) as app:
        yield app


@pytest.fixture
async def rows(database: str) -> AsyncIterator[Rows]:
    """The same database by its rows; claims take jobs of `decide`."""
    rows = await Rows.open(database)
    rows.lane = await register(rows.connection, decide)
    yield rows
    await rows.close()
