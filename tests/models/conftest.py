"""A server for each way to ask, and the client that asks it so."""

from collections.abc import AsyncIterator

import pytest

from headrace.pipelines.consensus.model import ModelClient
from headrace.testing import ModelServer
from headrace.testing.model_server import CHAT, RESPONSES
from tests.models.asking import GOOD, KEY, model_of

WAYS = [("responses", False), ("responses", True), ("chat", False), ("chat", True)]


@pytest.fixture(params=WAYS, ids=["whole", "stream", "chat whole", "chat stream"])
def way(request: pytest.FixtureRequest) -> tuple[str, bool]:
    return request.param


@pytest.fixture
async def server(way: tuple[str, bool]) -> AsyncIterator[ModelServer]:
    """One that has both APIs, or the older one alone."""
    paths = [CHAT] if way[0] == "chat" else [RESPONSES, CHAT]
    async with ModelServer(answer=lambda _call: GOOD, api_key=KEY, paths=paths) as server:
        yield server


@pytest.fixture
async def model(server: ModelServer, way: tuple[str, bool]) -> AsyncIterator[ModelClient]:
    model = model_of(server, llm_stream=way[1])
    yield model
    await model.aclose()


@pytest.fixture
async def plain() -> AsyncIterator[ModelServer]:
    """A server with both APIs, for what does not depend on the way."""
    async with ModelServer(answer=lambda _call: GOOD, api_key=KEY) as server:
        yield server
