"""An engine with the pipelines of `consensus`, and a model that can be watched and made to fail."""

from collections.abc import AsyncIterator, Iterator

import pytest

from headrace.pipelines.consensus import Reviews, consensus, expand_only, quick
from headrace.pipelines.consensus.settings import consensus_settings
from headrace.testing import Engine
from tests.consensus.scripted import SCRIPT, Script

CLIENT = "HEADRACE_CONSENSUS_CLIENT"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    """What the models of this process answer, which are opened while a test has this."""
    SCRIPT.reset()
    monkeypatch.setenv(CLIENT, "tests.consensus.scripted:open_scripted")
    consensus_settings.cache_clear()
    yield SCRIPT
    monkeypatch.delenv(CLIENT)
    consensus_settings.cache_clear()
    SCRIPT.reset()


@pytest.fixture
async def engine(database_server: str, script: Script) -> AsyncIterator[Engine]:
    """Carries the pipelines; nothing runs before the test says so."""
    assert not script.calls
    async with Engine([consensus, quick, expand_only], server=database_server) as made:
        yield made


@pytest.fixture
def reviews(engine: Engine) -> Reviews:
    """Of the engine's database."""
    return Reviews(engine.app)
