"""A running API on a fresh database, and clients of it."""

from collections.abc import AsyncIterator

import pytest

from headrace import RemoteClient
from headrace.testing import Engine
from tests.remote.wires import Wire, wire_to
from tests.web.followed import PIPELINES as FOLLOWED
from tests.web.followed import QUICK
from tests.web.pipes import PIPELINES
from tests.web.serving import SETTINGS, Api, serve, who


@pytest.fixture
async def api(database_server: str) -> AsyncIterator[Api]:
    """An API whose streams are quick, with a worker when the test starts one."""
    engine = Engine([*PIPELINES, *FOLLOWED], server=database_server, settings=SETTINGS)
    async with engine, serve(engine, pace=QUICK) as running:
        yield running


@pytest.fixture
async def token(api: Api) -> str:
    """Of the usual user."""
    return await api.key(who())


@pytest.fixture
async def client(api: Api, token: str) -> AsyncIterator[RemoteClient]:
    """The usual user's client."""
    async with RemoteClient(api.url, token=token) as opened:
        yield opened


@pytest.fixture
async def wire(api: Api) -> AsyncIterator[Wire]:
    """A line to the API on which things go wrong."""
    async with wire_to(api.port) as opened:
        yield opened


@pytest.fixture
async def far(wire: Wire, token: str) -> AsyncIterator[RemoteClient]:
    """The usual user's client behind that line."""
    async with RemoteClient(wire.url, token=token, timeout=2, silence=2) as opened:
        yield opened
