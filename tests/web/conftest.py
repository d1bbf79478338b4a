"""A running API: uvicorn on a real socket, on a fresh database."""

from collections.abc import AsyncIterator

import pytest

from headrace.testing import Engine
from tests.web.pipes import PIPELINES
from tests.web.serving import SETTINGS, Api, serve


@pytest.fixture
async def api(database_server: str) -> AsyncIterator[Api]:
    """The API of the pipelines in `pipes`, with a worker when the test starts one."""
    engine = Engine(PIPELINES, server=database_server, settings=SETTINGS)
    async with engine, serve(engine) as running:
        yield running
