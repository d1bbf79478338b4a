from __future__ import annotations

import functools
from collections.abc import Callable

import pytest

from headrace.testing import Engine

MakeEngine = Callable[..., Engine]


@pytest.fixture
def make_engine(database_server: str) -> MakeEngine:
    """Makes an engine on the server of this test run."""
    return functools.partial(Engine, server=database_server)
