"""Which workers are alive, and which are dead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest

from headrace.store.pool import connect
from headrace.store.workers import (
    drain_workers,
    list_workers,
    lose_workers,
    next_worker,
    prune_workers,
    renew_worker,
    start_worker,
    stop_worker,
    take_presence,
)
from tests.engine_rows import LEASE, Rows, identity
from tests.waiting import eventually

GRACE = timedelta(seconds=5)
PAST_GRACE = timedelta(seconds=6)
PAST_LEASE = timedelta(seconds=31)


@pytest.fixture
async def rows(database: str) -> AsyncIterator[Rows]:
    rows = await Rows.open(database)
    yield rows
    await rows.close()


@pytest.fixture
async def session(database: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await connect(database, name="worker's session")
    yield connection
    if not connection.is_closed():
        await connection.close()


async def lost(rows: Rows) -> list[tuple[int, bool]]:
    found = await lose_workers(rows.connection, grace=GRACE)
    return [(worker.id, worker.vanished) for worker in found]


async def renew(rows: Rows, worker: int, *, presence: bool = False) -> bool | None:
    return await renew_worker(
        rows.connection, worker, lease=LEASE, presence=presence, running=0, lanes=[]
    )


async def present_worker(session: asyncpg.Connection[asyncpg.Record]) -> int:
    worker = await next_worker(session)
    assert await take_presence(session, worker)
    await start_worker(session, identity(worker), lease=LEASE, presence=True, lanes=[])
    return worker


class TestLease:
    async def test_a_worker_is_alive_while_its_lease_lasts(self, rows: Rows) -> None:
        await rows.worker()
        await rows.wait(timedelta(seconds=29))
        assert await lost(rows) == []

    async def test_a_worker_is_lost_when_its_lease_is_over(self, rows: Rows) -> None:
        worker = await rows.worker()
        await rows.wait(PAST_LEASE)
        assert await lost(rows) == [(worker, False)]
        assert await lost(rows) == []

    async def test_a_renewal_past_the_expiry_succeeds(self, rows: Rows) -> None:
        worker = await rows.worker()
        await rows.wait(PAST_LEASE)
        assert await renew(rows, worker) is False
        assert await lost(rows) == []

    async def test_a_lost_worker_can_neither_renew_nor_claim(self, rows: Rows) -> None:
        worker = await rows.worker()
        await rows.wait(PAST_LEASE)
        await lost(rows)
        await rows.submit()
        assert await renew(rows, worker) is None
        assert await rows.claim(worker) == []

    async def test_a_renewal_waits_for_the_verdict_and_obeys_it(
        self, rows: Rows, session: asyncpg.Connection[asyncpg.Record]
    ) -> None:
        worker = await rows.worker()
        await rows.wait(PAST_LEASE)
        async with session.transaction():
            await lose_workers(session, grace=GRACE)
            renewal = asyncio.create_task(renew(rows, worker))
            await eventually(lambda: _is_blocked(session))
        assert await renewal is None

    async def test_a_worker_that_signed_off_is_not_lost(self, rows: Rows) -> None:
        worker = await rows.worker()
        await stop_worker(rows.connection, worker)
        await rows.wait(PAST_LEASE)
        assert await lost(rows) == []
        assert await renew(rows, worker) is None

    async def test_a_registration_can_be_repeated(self, rows: Rows) -> None:
        worker = await rows.worker()
        await start_worker(rows.connection, identity(worker), lease=LEASE, presence=True, lanes=[])
        assert await rows.count("workers") == 1


async def _is_blocked(connection: asyncpg.Connection[asyncpg.Record]) -> bool:
    return bool(
        await connection.fetchval(
            "select count(*) from pg_stat_activity"
            " where wait_event_type = 'Lock' and datname = current_database()"
        )
    )


class TestPresence:
    async def test_a_worker_whose_session_died_is_lost_after_the_grace(
        self, rows: Rows, session: asyncpg.Connection[asyncpg.Record]
    ) -> None:
        worker = await present_worker(session)
        await session.close()
        assert await lost(rows) == []
        await rows.wait(PAST_GRACE)
        assert await eventually(lambda: lost(rows)) == [(worker, True)]

    async def test_a_held_lock_is_life_however_old_the_heartbeat(
        self, rows: Rows, session: asyncpg.Connection[asyncpg.Record]
    ) -> None:
        await present_worker(session)
        await rows.wait(timedelta(seconds=29))
        assert await lost(rows) == []

    async def test_a_frozen_worker_that_keeps_its_lock_is_lost_with_its_lease(
        self, rows: Rows, session: asyncpg.Connection[asyncpg.Record]
    ) -> None:
        worker = await present_worker(session)
        await rows.wait(PAST_LEASE)
        assert await lost(rows) == [(worker, False)]

    async def test_without_presence_a_free_lock_means_nothing(
        self, rows: Rows, session: asyncpg.Connection[asyncpg.Record]
    ) -> None:
        worker = await present_worker(session)
        await session.close()
        assert await renew(rows, worker, presence=False) is False
        await rows.wait(PAST_GRACE)
        assert await lost(rows) == []

    async def test_after_a_restart_of_the_server_old_heartbeats_prove_no_death(
        self, rows: Rows, session: asyncpg.Connection[asyncpg.Record]
    ) -> None:
        await present_worker(session)
        await session.close()
        # As after a crash; resetting the server's statistics would be one for all tests beside it.
        await rows.connection.execute(
            "create or replace function headrace.incarnation() returns timestamptz"
            " language sql stable return statement_timestamp()"
        )
        await rows.wait(PAST_GRACE)
        assert await lost(rows) == []

    async def test_a_lock_of_another_database_is_not_this_workers(
        self, rows: Rows, session: asyncpg.Connection[asyncpg.Record], empty_database: str
    ) -> None:
        worker = await present_worker(session)
        other = await connect(empty_database)
        assert await take_presence(other, worker)
        await session.close()
        await rows.wait(PAST_GRACE)
        assert await eventually(lambda: lost(rows)) == [(worker, True)]
        await other.close()


class TestWorkerRows:
    async def test_draining_is_heard_at_the_next_renewal(self, rows: Rows) -> None:
        one, two = await rows.worker(), await rows.worker()
        assert await drain_workers(rows.connection, [one]) == [one]
        assert await renew(rows, one) is True
        assert await renew(rows, two) is False

    async def test_the_list_says_how_each_worker_is(self, rows: Rows) -> None:
        alive, draining, stopped = [await rows.worker() for _ in range(3)]
        await rows.worker(lease=timedelta(seconds=-1))
        await drain_workers(rows.connection, [draining])
        await stop_worker(rows.connection, stopped)
        states = {row["id"]: row["state"] for row in await list_workers(rows.connection)}
        assert [states[id_] for id_ in (alive, draining, stopped, stopped + 1)] == [
            "alive",
            "draining",
            "stopped",
            "stale",
        ]

    async def test_workers_that_ended_long_ago_are_forgotten_unless_they_hold_jobs(
        self, rows: Rows
    ) -> None:
        empty, holding = await rows.worker(), await rows.worker()
        await rows.claimed(worker=holding)
        for worker in (empty, holding):
            await stop_worker(rows.connection, worker)
        assert await prune_workers(rows.connection, age=timedelta(days=1)) == 0
        await rows.wait(timedelta(days=2))
        assert await prune_workers(rows.connection, age=timedelta(days=1)) == 1
        assert [row["id"] for row in await list_workers(rows.connection)] == [holding]
