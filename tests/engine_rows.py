"""Jobs, claims and workers as rows, made by the engine's own statements."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Self
from uuid import UUID

import asyncpg
import uuid_utils.compat

from headrace.store.pool import connect
from headrace.store.session import ENGINE_SETTINGS
from headrace.store.sql import SQL
from headrace.store.workers import (
    RecoveryRules,
    WorkerIdentity,
    next_worker,
    start_worker,
)

LEASE = timedelta(seconds=30)
HEAD_START = timedelta(seconds=60)
RULES = RecoveryRules(
    charges=3,
    first_wait=timedelta(seconds=5),
    later_wait=timedelta(seconds=30),
    head_start=HEAD_START,
)


def identity(number: int) -> WorkerIdentity:
    return WorkerIdentity(
        id=number,
        host="test",
        pid=1,
        version="0",
        queues=("default",),
        carries="{}",
        concurrency=10,
    )


class Rows:
    """A connection, and short ways to put the database into a state."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        self.connection = connection
        self.lane = 0

    @classmethod
    async def open(cls, database: str) -> Self:
        rows = cls(await connect(database, name="test", settings=ENGINE_SETTINGS))
        rows.lane = await rows.value("submit.add_lane", "default", "pipe", "1.0.0")
        return rows

    async def close(self) -> None:
        await self.connection.close()

    async def value(self, statement: str, *arguments: object) -> Any:  # noqa: ANN401 - a column of any type
        return await self.connection.fetchval(SQL[statement], *arguments)

    async def submit(
        self,
        count: int = 1,
        *,
        deadline: object = None,
        tenant: str = "tenant",
        priority: int = 5,
        lane: int | None = None,
    ) -> list[UUID]:
        ids = [uuid_utils.compat.uuid7() for _ in range(count)]
        await self.connection.execute(
            SQL["submit.insert_jobs"],
            ids, ["{}"] * count, lane or self.lane, tenant, "owner", priority, None, HEAD_START,
            deadline, None, None, None, None, None, "test", "default",
        )  # fmt: skip
        return ids

    async def worker(self, *, lease: timedelta = LEASE, presence: bool = False) -> int:
        number = await next_worker(self.connection)
        await start_worker(
            self.connection, identity(number), lease=lease, presence=presence, lanes=[]
        )
        return number

    async def claim(
        self, worker: int, most: int = 100, *, suspects: bool = False
    ) -> list[asyncpg.Record]:
        await self.value("claims.promote_due", 1000)
        found = await self.connection.fetch("select distinct share from headrace.queued")
        shares = [row["share"] for row in found]
        return await self.connection.fetch(
            SQL["claims.claim_jobs"], worker, [self.lane] * len(shares), most, suspects, [],
            shares, most,
        )  # fmt: skip

    async def claimed(self, count: int = 1, *, worker: int | None = None) -> list[asyncpg.Record]:
        """New jobs in the hands of a worker, by default a new one."""
        worker = await self.worker() if worker is None else worker
        await self.submit(count)
        claims = await self.claim(worker, count)
        assert len(claims) == count
        return claims

    async def record_start(self, claim: asyncpg.Record, worker: int, item: str = "") -> None:
        await self.connection.execute(
            SQL["ledger.record_starts"],
            [claim["id"]], [claim["run"]], ["step"], [item], worker, [claim["token"]],
        )  # fmt: skip

    async def checkpoint(
        self, claim: asyncpg.Record, steps: Sequence[str], worker: int = 1
    ) -> None:
        count = len(steps)
        await self.connection.execute(
            SQL["ledger.checkpoint_steps"],
            [claim["id"]] * count, [claim["token"]] * count, list(steps), [""] * count,
            list(range(count)), [1] * count, [1] * count, ["1"] * count, worker,
        )  # fmt: skip

    async def end(
        self, claim: asyncpg.Record, state: str = "completed", result_step: str | None = None
    ) -> None:
        failed = state == "failed"
        await self.connection.execute(
            SQL["ledger.end_jobs"],
            [claim["id"]], [state], [state], ["permanent_error" if failed else None],
            ['{"code": "X", "message": "x"}' if failed else None], [result_step], [None], [None],
            1,
        )  # fmt: skip

    async def job(self, job: UUID) -> asyncpg.Record:
        row = await self.connection.fetchrow("select * from headrace.jobs where id = $1", job)
        assert row is not None
        return row

    async def history(self, job: UUID) -> list[str]:
        rows = await self.connection.fetch(
            "select reason from headrace.job_events where job = $1 order by seq", job
        )
        return [row["reason"] for row in rows]

    async def count(self, table: str) -> int:
        return int(await self.connection.fetchval(f"select count(*) from headrace.{table}"))  # noqa: S608

    async def wait(self, time: timedelta) -> None:
        """Move the engine's clock forward by `time`, from where it is."""
        offset = await self.connection.fetchval("select headrace.now() - statement_timestamp()")
        await self.connection.execute(
            "create or replace function headrace.now() returns timestamptz language sql stable"
            " parallel safe return statement_timestamp()"
            f" + interval '{(offset + time).total_seconds():f} s'"
        )
