from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest

from headrace import Headrace
from headrace.store.clock import move_clock
from headrace.store.retention import take_rings
from headrace.store.workers import next_worker
from headrace.testing import PubSubServer
from tests.pubsub.conftest import TOPIC, StartWorker
from tests.pubsub.mill import Grain, grind
from tests.waiting import eventually

MINUTE = timedelta(minutes=1)
SOON = timedelta(seconds=0.2)


class Sweep:
    """Sweeps at chosen times, as whichever worker does."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        self._connection = connection

    async def after(self, minutes: float) -> list[tuple[str, int]]:
        """What is rung for so many minutes later."""
        await move_clock(self._connection, minutes * MINUTE, keep_leases=True)
        return await take_rings(
            self._connection, worker=await next_worker(self._connection), first=MINUTE,
            most=15 * MINUTE,
        )  # fmt: skip


@pytest.fixture
async def sweep(database: str) -> AsyncIterator[Sweep]:
    connection = await asyncpg.connect(database)
    yield Sweep(connection)
    await connection.close()


class TestTakeRings:
    async def test_it_rings_after_a_minute_and_then_ever_later_up_to_a_quarter_of_an_hour(
        self, app: Headrace, sweep: Sweep
    ) -> None:
        await app.submit_many(grind, [Grain(2)] * 3)
        rung_at = [minute for minute in range(1, 62) if await sweep.after(1.02)]
        assert rung_at == [1, 3, 7, 15, 30, 45, 60]

    async def test_it_says_how_many_wait(self, app: Headrace, sweep: Sweep) -> None:
        await app.submit_many(grind, [Grain(2)] * 30)
        assert await sweep.after(1.1) == [("default", 30)]

    async def test_work_that_comes_after_a_ring_waits_a_minute_again(
        self, app: Headrace, sweep: Sweep
    ) -> None:
        job = await app.submit(grind, Grain(2))
        for minutes in (1.1, 10.0, 13.0):
            assert await sweep.after(minutes)
        await job.cancel()
        await app.submit(grind, Grain(2))
        assert not await sweep.after(0.9)
        assert await sweep.after(0.2)

    async def test_what_is_scheduled_or_in_a_closed_queue_is_not_rung_for(
        self, app: Headrace, sweep: Sweep
    ) -> None:
        await app.submit(grind, Grain(2), due=timedelta(hours=9))
        assert not await sweep.after(2)
        await app.submit(grind, Grain(2))
        await app.pause_queue("default")
        assert not await sweep.after(2)
        await app.resume_queue("default")
        assert await sweep.after(0)


class TestSweep:
    async def test_a_lost_ring_is_followed_by_another(
        self, app: Headrace, start_worker: StartWorker, server: PubSubServer
    ) -> None:
        async with app.connection() as connection, connection.transaction():
            # In a caller's transaction there is no ring: nobody knows when it commits.
            job = await app.submit(grind, Grain(2), connection=connection)
        assert server.messages(TOPIC) == []
        await start_worker(app, sweep=SOON, janitor_lease=SOON, ring_again=SOON)
        await job.result(timeout=10)

    async def test_work_whose_time_comes_is_rung_for(
        self, app: Headrace, server: PubSubServer, database: str
    ) -> None:
        await app.submit_many(grind, [Grain(2)] * 25, due=timedelta(hours=1))
        await eventually(lambda: len(server.messages(TOPIC)) == 3)  # for the submission
        connection = await asyncpg.connect(database)
        await move_clock(connection, timedelta(hours=1), keep_leases=True)
        await connection.close()
        worker = app.worker()
        await worker.sweep(within_s=10)
        await worker.close()
        await eventually(lambda: len(server.messages(TOPIC)) == 6)
