"""Locks of several processes, each of which is a `Locks`, for tests."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import asyncpg
from asyncpg.connection import LoggedQuery

from headrace.reliability.hub import Hub
from headrace.reliability.lock_blocks import LockBlock
from headrace.reliability.locks import Locks
from headrace.store.pool import connect
from headrace.store.session import ENGINE_SETTINGS
from tests.engine_rows import Rows

KEY = "repo:42"
MakeLocks = Callable[..., Locks]


def block(locks: Locks, key: str = KEY, **options: object) -> LockBlock:
    return LockBlock(locks, locks.request(key, tenant="t", **options))


async def hold(lock: LockBlock, work: Callable[[LockBlock], Awaitable[object]]) -> None:
    async with lock:
        await work(lock)


async def for_ever(_lock: LockBlock) -> None:
    await asyncio.Event().wait()


async def taken_away(lock: LockBlock) -> None:
    """An operator takes the lock while its holder waits for something else."""
    await force(lock._locks, lock.key)
    await asyncio.Event().wait()


async def force(locks: Locks, key: str) -> None:
    await locks.force_release(key, tenant="t", actor="test", reason="test")


async def grants(rows: Rows) -> list[tuple[str, int]]:
    found = await rows.connection.fetch(
        "select change, token from headrace.lock_grants order by at, token"
    )
    return [(row["change"], row["token"]) for row in found]


@contextlib.asynccontextmanager
async def locks_of(database: str) -> AsyncIterator[MakeLocks]:
    """Makes the locks of one process more, and closes all at the end."""
    made: list[tuple[Locks, Hub]] = []

    def make(address: str = database, sent: Callable[[LoggedQuery], None] | None = None) -> Locks:
        async def connect_one() -> asyncpg.Connection[asyncpg.Record]:
            connection = await connect(address, settings=ENGINE_SETTINGS)
            if sent is not None:
                connection.add_query_logger(sent)
            return connection

        hub = Hub(partial(connect, address, name="changes"))
        locks = Locks(connect_one, lambda: hub)
        made.append((locks, hub))
        return locks

    yield make
    for locks, hub in made:
        await locks.close()
        await hub.close()
