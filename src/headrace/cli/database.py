"""The database that a command works on."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from headrace.settings import Settings
    from headrace.store.pool import HeldConnection


@dataclass(frozen=True, slots=True)
class Place:
    """Where the database is.

    Attributes:
        dsn: Its address for everything.
        direct_dsn: Its address past a transaction pooler.
        embedded: Whether it is the project's own, which runs as long as somebody uses it.
    """

    dsn: str
    direct_dsn: str
    embedded: bool


@contextlib.asynccontextmanager
async def open_place(settings: Settings) -> AsyncIterator[Place]:
    """Have the database of these settings at hand; the embedded one is started."""
    address, direct = settings.database_address(), settings.direct_database_address()
    if address is not None and direct is not None:
        yield Place(address, direct, embedded=False)
        return
    from headrace.store.embedded import EmbeddedDatabase

    database = EmbeddedDatabase(Path.cwd(), data_folder=settings.data_dir)
    async with database.open() as dsn:
        yield Place(dsn, dsn, embedded=True)


@contextlib.asynccontextmanager
async def open_connection(settings: Settings) -> AsyncIterator[HeldConnection]:
    """One connection to a database that has the schema of this version.

    The embedded one is brought up to date; nobody else would.

    Raises:
        SchemaError: The schema is older or newer.
        DatabaseUnavailableError: No server answered.
    """
    from headrace.store.migrate import check_schema, migrate
    from headrace.store.pool import connect

    async with open_place(settings) as place:
        if place.embedded:
            await migrate(place.direct_dsn)
        connection = await connect(place.dsn, name="headrace command")
        try:
            if not place.embedded:
                await check_schema(connection)
            yield connection
        finally:
            await connection.close()
