"""The server in which tests make their databases, unless they name another.

It is not the one with which the project is developed: it may forget everything when the machine
loses power, and nothing that a test does can touch other data.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from headrace.app import Headrace
from headrace.store.databases import drop_leftovers
from headrace.store.embedded import EmbeddedDatabase

if TYPE_CHECKING:
    from headrace.settings import Settings

NAME: Final = "tests"


async def project_server(settings: Settings | None) -> str:
    """The address of the project's server for tests; it runs until this process ends."""
    data_folder = (settings or Headrace([]).settings).data_dir
    known = _servers(Path.cwd() / NAME, data_folder and data_folder / NAME)
    if known.address is None:
        address = await asyncio.to_thread(known.database.start)
        await drop_leftovers(address)
        known.address = address
    return known.address


class _Server:
    def __init__(self, project: Path, data_folder: Path | None) -> None:
        self.database = EmbeddedDatabase(project, data_folder=data_folder, durable=False)
        self.address: str | None = None


@lru_cache(maxsize=10)
def _servers(project: Path, data_folder: Path | None) -> _Server:
    """Starting and stopping a server for each test would take longer than the test."""
    return _Server(project, data_folder)
