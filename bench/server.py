"""The PostgreSQL that everything is measured on: the one given, else an embedded one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.database import Server, connected
from bench.errors import BenchError
from bench.subjects import HOME
from headrace.errors import HeadraceError
from headrace.store.embedded import EmbeddedDatabase


@asynccontextmanager
async def server(url: str | None) -> AsyncIterator[Server]:
    """The server at `url`, else one of the benchmark's own, stopped at the end.

    Raises:
        BenchError: It cannot be started or reached.
    """
    if url is not None:
        async with connected(url) as connection:
            yield Server(url, connection)
        return
    HOME.mkdir(exist_ok=True)
    embedded = EmbeddedDatabase(HOME)
    try:
        own = await asyncio.to_thread(embedded.start)
    except HeadraceError as error:
        raise BenchError(str(error)) from error
    try:
        async with connected(own) as connection:
            yield Server(own, connection)
    finally:
        await asyncio.to_thread(embedded.stop)
