"""The demo's own database, fresh for each run and gone after it."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from headrace.store.embedded import EmbeddedDatabase

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PROJECT: Final = Path("/headrace/demo")
"""Not the folder of this clone: its own embedded database stays as it is."""
PREFIX: Final = "headrace_demo_"


@asynccontextmanager
async def fresh_database(data_folder: Path | None) -> AsyncIterator[str]:
    """The address of an empty database in an embedded server; both end with the block.

    Args:
        data_folder: HEADRACE_DATA_DIR, where the user wants the server's data to be.
    """
    async with EmbeddedDatabase(PROJECT, data_folder=data_folder).open() as server:
        name = f"{PREFIX}{os.getpid()}"
        connection = await asyncpg.connect(server)
        try:
            await _drop_leftovers(connection)
            await connection.execute(f'create database "{name}"')
            try:
                yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
            finally:
                await connection.execute(f'drop database "{name}" with (force)')
        finally:
            await connection.close()


async def _drop_leftovers(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Drop the databases of demos that were killed."""
    rows = await connection.fetch(
        "select datname from pg_database where starts_with(datname, $1)", PREFIX
    )
    for row in rows:
        if not _is_running(int(row["datname"].removeprefix(PREFIX))):
            await connection.execute(f'drop database if exists "{row["datname"]}" with (force)')


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's
    return True
