"""An engine with the pipeline `documents`, and its library.

The settings of the pipeline are read once, here: small chunks and batches, so that a short
text has several of each, and an embedder that can be watched. Processes that the tests start read
the variables that are left: `hashing`, and the folder.
"""

import atexit
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import pytest

FOLDER: Final = Path(tempfile.mkdtemp(prefix="headrace-documents-"))


def reserve_port() -> socket.socket:
    """A port that is ours until the process ends: whoever names it can listen there."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    return held


_PARSER, _API = reserve_port(), reserve_port()
PARSER_PORT: Final[int] = _PARSER.getsockname()[1]
"""Where tests that have a parser elsewhere let it listen."""
API_PORT: Final[int] = _API.getsockname()[1]
"""Where that parser calls back."""
SECRET, OLD_SECRET = "of these tests alone: newest-key", "of these tests alone: before-key"
SETTINGS: Final = {
    "HEADRACE_DOCUMENTS_PARSER_URL": f"http://127.0.0.1:{PARSER_PORT}/v1/parse",
    "HEADRACE_DOCUMENTS_PARSER_API_KEY": "test-key",
    "HEADRACE_DOCUMENTS_PARSER_SECRET": f"{SECRET},{OLD_SECRET}".replace(" ", "-"),
    "HEADRACE_DOCUMENTS_PARSER_CALLBACK_URL": f"http://127.0.0.1:{API_PORT}",
    "HEADRACE_DOCUMENTS_FOLDER": str(FOLDER),
    "HEADRACE_DOCUMENTS_EMBEDDER": "tests.documents.trial:open_trial",
    "HEADRACE_DOCUMENTS_CHUNK_TOKENS": "40",
    "HEADRACE_DOCUMENTS_BATCH_TEXTS": "4",
}
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
atexit.register(_PARSER.close)
atexit.register(_API.close)
os.environ.update(SETTINGS)

from headrace.pipelines.documents import Library, documents  # noqa: E402
from headrace.pipelines.documents.settings import documents_settings  # noqa: E402
from headrace.testing import Engine  # noqa: E402
from tests.documents.trial import TRIAL, Trial  # noqa: E402

assert documents_settings().folder == FOLDER, "the settings were read before this file"
os.environ["HEADRACE_DOCUMENTS_EMBEDDER"] = "hashing"
for name in ("HEADRACE_DOCUMENTS_CHUNK_TOKENS", "HEADRACE_DOCUMENTS_BATCH_TEXTS"):
    del os.environ[name]


@pytest.fixture
async def engine(vector_server: str) -> AsyncIterator[Engine]:
    """Carries `documents` alone; nothing runs before the test says so."""
    async with Engine([documents], server=vector_server) as made:
        yield made


@pytest.fixture
async def library(engine: Engine, trial: Trial) -> AsyncIterator[Library]:
    """Of the engine's database."""
    assert not trial.calls
    made = Library(engine.app)
    yield made
    await made.close()


@pytest.fixture
def trial() -> Iterator[Trial]:
    """What the embedders of this process are asked."""
    TRIAL.reset()
    yield TRIAL
    TRIAL.reset()


@pytest.fixture
def folder() -> Path:
    """Where the files of all documents of this process lie."""
    return FOLDER
