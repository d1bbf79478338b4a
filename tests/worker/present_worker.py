"""A worker that is only present, and what its main loop was told."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg

from headrace.store.workers import (
    PRESENCE_CLASS,
    next_worker,
)
from headrace.worker.heartbeat import PresenceListener
from headrace.worker.lease import Standing
from headrace.worker.presence import Presence
from headrace.worker.timing import Timing
from tests.engine_rows import Rows, identity

QUICK = Timing().scaled(1 / 15)  # a lease of 2 s, a heartbeat of 0.2 s


class Heard(PresenceListener):
    """What a worker's main loop was told, in order."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.cancels: set[tuple[UUID, int]] = set()

    def on_lost(self) -> None:
        self.words.append("lost")

    def on_draining(self) -> None:
        self.words.append("draining")

    def on_cancel(self, requests: list[tuple[UUID, int]]) -> None:
        self.cancels.update(requests)

    def on_unreachable(self, standing: Standing) -> None:
        self.words.append(standing.value)

    def on_reachable(self) -> None:
        self.words.append("reachable")


class Worker:
    """A presence, its number, and what it was told."""

    def __init__(self, rows: Rows, number: int, dsn: str, timing: Timing) -> None:
        self.rows, self.number, self.heard = rows, number, Heard()
        self.presence = Presence(
            dsn,
            identity(number),
            timing,
            listener=self.heard,
            running=lambda: 3,
            lanes=lambda: [1, 2],
        )

    async def row(self) -> asyncpg.Record:
        row = await self.rows.connection.fetchrow(
            "select *, headrace.now() - heartbeat_at as age from headrace.workers where id = $1",
            self.number,
        )
        assert row is not None
        return row

    async def is_renewed(self) -> bool:
        """Whether one more renewal comes in, and says presence."""
        row = await self.row()
        return bool(row["presence"]) and row["age"] < QUICK.heartbeat * 2

    async def lock_holders(self) -> list[int]:
        rows = await self.rows.connection.fetch(
            "select pid from pg_locks where locktype = 'advisory' and classid = $1::integer::oid"
            " and objid = $2::integer::oid"
            " and database = (select oid from pg_database where datname = current_database())",
            PRESENCE_CLASS,
            self.number,
        )
        return [row["pid"] for row in rows]

    async def sessions(self) -> list[int]:
        rows = await self.rows.connection.fetch(
            "select pid from pg_stat_activity where datname = current_database()"
            " and application_name = $1",
            f"headrace worker {self.number}: presence",
        )
        return [row["pid"] for row in rows]


@contextlib.asynccontextmanager
async def present(rows: Rows, dsn: str, timing: Timing = QUICK) -> AsyncIterator[Worker]:
    worker = Worker(rows, await next_worker(rows.connection), dsn, timing)
    try:
        await worker.presence.start()
        yield worker
    finally:
        await worker.presence.stop()
