"""An engine with the pipelines of `consensus`, and a model that can be watched and made to fail.

The settings of the pipeline are read once, here.
"""

import os
from collections.abc import AsyncIterator, Iterator

import pytest

SETTINGS = {"HEADRACE_CONSENSUS_CLIENT": "tests.consensus.scripted:open_scripted"}
os.environ.update(SETTINGS)

from headrace.pipelines.consensus import Reviews, consensus, expand_only, quick  # noqa: E402
from headrace.pipelines.consensus.settings import consensus_settings  # noqa: E402
from headrace.testing import Engine  # noqa: E402
from tests.consensus.scripted import SCRIPT, Script  # noqa: E402

assert consensus_settings().client == SETTINGS["HEADRACE_CONSENSUS_CLIENT"], (
    "the settings were read before this file"
)
for name in SETTINGS:
    del os.environ[name]


@pytest.fixture
def script() -> Iterator[Script]:
    """What the models of this process answer."""
    SCRIPT.reset()
    yield SCRIPT
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
