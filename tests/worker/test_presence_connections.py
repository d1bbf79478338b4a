"""A worker whose presence loses its connections is not lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from headrace.store.workers import (
    lose_workers,
)
from headrace.telemetry.worker_events import (
    PresenceLost,
)
from headrace.worker.lease import Standing
from tests.engine_rows import Rows
from tests.listening import listening
from tests.proxy import proxy_to
from tests.waiting import eventually, promptly
from tests.worker.present_worker import Worker, present


@pytest.fixture
async def rows(database: str) -> AsyncIterator[Rows]:
    rows = await Rows.open(database)
    yield rows
    await rows.close()


@pytest.fixture
async def worker(rows: Rows, database: str) -> AsyncIterator[Worker]:
    async with present(rows, database) as worker:
        yield worker


class TestLostConnections:
    async def test_a_killed_presence_connection_is_replaced_and_the_worker_is_not_lost(
        self, worker: Worker
    ) -> None:
        killed = await worker.lock_holders()
        with listening() as told:
            await worker.rows.connection.execute("select pg_terminate_backend($1)", killed[0])
            await promptly(lambda: _has_other_lock(worker, killed), within=1)
            await promptly(worker.is_renewed, within=1)
            await promptly(lambda: _has_two_sessions(worker), within=2)
        assert await lose_workers(worker.rows.connection, grace=timedelta()) == []
        assert worker.heard.words == []
        assert len(told.of(PresenceLost)) == 1

    async def test_both_may_be_killed(self, worker: Worker) -> None:
        await eventually(lambda: _has_two_sessions(worker))
        killed = await worker.lock_holders()
        for session in await worker.sessions():
            await worker.rows.connection.execute("select pg_terminate_backend($1)", session)
        await promptly(lambda: _has_other_lock(worker, killed), within=3)
        await eventually(worker.is_renewed)
        assert worker.heard.words == []

    async def test_when_no_new_connection_is_to_be_had_the_reserve_renews(
        self, rows: Rows, database: str
    ) -> None:
        async with proxy_to(database) as proxy, present(rows, proxy.address) as worker:
            await eventually(lambda: _has_two_sessions(worker))
            proxy.refuse()
            killed = await worker.lock_holders()
            await rows.connection.execute("select pg_terminate_backend($1)", killed[0])
            await eventually(lambda: _has_other_lock(worker, killed))
            await eventually(worker.is_renewed)
            assert len(await worker.sessions()) == 1

    async def test_a_lock_is_let_go_only_after_a_heartbeat_without_presence(
        self, rows: Rows, database: str
    ) -> None:
        async with proxy_to(database) as proxy, present(rows, proxy.address) as worker:
            await eventually(lambda: _has_two_sessions(worker))
            (holder,) = await worker.lock_holders()
            proxy.fall_silent()
            await eventually(lambda: worker.presence.standing is Standing.CANCEL)
            assert await worker.lock_holders() == [holder]
            proxy.speak()
            await eventually(lambda: _has_other_lock(worker, [holder]))
            await eventually(worker.is_renewed)
            assert (await worker.row())["lost_at"] is None


async def _has_other_lock(worker: Worker, before: list[int]) -> bool:
    holders = await worker.lock_holders()
    return bool(holders) and not set(holders) & set(before)


async def _has_two_sessions(worker: Worker) -> bool:
    return len(await worker.sessions()) == 2
