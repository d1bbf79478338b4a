from collections.abc import AsyncIterator

import pytest

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
