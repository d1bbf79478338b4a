import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def crash_folder(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder for journal, effects and logs; it stays where a test failed."""
    folder = Path(tempfile.mkdtemp(prefix="headrace-crash-"))
    failed = request.session.testsfailed
    yield folder
    if request.session.testsfailed == failed:
        shutil.rmtree(folder)
