"""A worker that lives is seen to live, whatever happens to its connections or its main loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from time import monotonic

import asyncpg
import pytest

from headrace.store.workers import (
    drain_workers,
    lose_workers,
    next_worker,
)
from headrace.telemetry.store_events import DatabaseBack, DatabaseLost
from headrace.telemetry.worker_events import (
    LeaseAtRisk,
    LeaseLost,
    PresenceUnavailable,
)
from headrace.worker.lease import Standing
from tests.engine_rows import Rows
from tests.listening import listening
from tests.proxy import proxy_to
from tests.waiting import eventually, promptly
from tests.worker.present_worker import QUICK, Worker, present


@pytest.fixture
async def rows(database: str) -> AsyncIterator[Rows]:
    rows = await Rows.open(database)
    yield rows
    await rows.close()


@pytest.fixture
async def worker(rows: Rows, database: str) -> AsyncIterator[Worker]:
    async with present(rows, database) as worker:
        yield worker


class TestLife:
    async def test_a_started_worker_is_registered_and_holds_its_lock(self, worker: Worker) -> None:
        row = await worker.row()
        assert (row["host"], row["queues"], row["presence"]) == ("test", ["default"], True)
        assert len(await worker.lock_holders()) == 1
        assert worker.presence.is_healthy
        assert worker.presence.has_lock

    async def test_its_lease_is_renewed_again_and_again(self, worker: Worker) -> None:
        first = (await worker.row())["expires_at"]

        async def is_later() -> bool:
            row = await worker.row()
            return bool(row["expires_at"] > first + QUICK.heartbeat * 3)

        await eventually(is_later)
        row = await worker.row()
        assert (row["running"], row["lanes"]) == (3, [1, 2])

    async def test_a_blocked_main_loop_does_not_stop_the_renewals(self, worker: Worker) -> None:
        await eventually(worker.is_renewed)
        seen, before, end = 0, worker.presence.unrenewed_s, monotonic() + 10
        while seen < 3 and monotonic() < end:
            time.sleep(0.01)  # noqa: ASYNC251 - this loop is blocked
            now = worker.presence.unrenewed_s
            seen, before = seen + (now < before), now
        assert seen == 3
        assert (await worker.row())["lost_at"] is None
        assert worker.heard.words == []

    async def test_a_stopped_worker_has_signed_off_and_holds_nothing(
        self, rows: Rows, database: str
    ) -> None:
        async with present(rows, database) as worker:
            pass
        row = await worker.row()
        assert row["stopped_at"] is not None
        assert not worker.presence.is_healthy
        await eventually(lambda: _is_empty(worker.sessions()))

    async def test_stopping_twice_or_before_the_start_does_no_harm(
        self, rows: Rows, database: str
    ) -> None:
        worker = Worker(rows, await next_worker(rows.connection), database, QUICK)
        await worker.presence.stop()
        await worker.presence.stop()

    async def test_a_database_that_refuses_for_good_fails_the_start(
        self, rows: Rows, database: str
    ) -> None:
        nowhere = database.replace("headrace_test_", "headrace_nowhere_")
        with pytest.raises(asyncpg.InvalidCatalogNameError):
            async with present(rows, nowhere):
                pass

    async def test_a_schema_that_is_missing_fails_the_start(
        self, rows: Rows, empty_database: str
    ) -> None:
        with pytest.raises(asyncpg.PostgresError, match=r"headrace"):
            async with present(rows, empty_database):
                pass

    async def test_a_start_outlasts_an_outage(self, rows: Rows, database: str) -> None:
        async with proxy_to(database) as proxy:
            proxy.refuse()
            worker = Worker(rows, await next_worker(rows.connection), proxy.address, QUICK)
            with listening() as told:
                starting = asyncio.create_task(worker.presence.start())
                await eventually(lambda: told.of(DatabaseLost))
                proxy.accept()
                await starting
            assert worker.presence.is_healthy
            await worker.presence.stop()


async def _is_empty(sessions: object) -> bool:
    return not await sessions  # type: ignore[misc]


class TestWords:
    async def test_a_worker_marked_lost_is_told_once_and_renews_no_more(
        self, worker: Worker
    ) -> None:
        with listening() as told:
            await worker.rows.connection.execute(
                "update headrace.workers set lost_at = now() where id = $1", worker.number
            )
            await eventually(lambda: worker.heard.words == ["lost"])
        before = (await worker.row())["heartbeat_at"]
        assert not worker.presence.is_healthy
        assert [event.running for event in told.of(LeaseLost)] == [3]
        await worker.presence.stop()
        row = await worker.row()
        assert (row["heartbeat_at"], row["stopped_at"]) == (before, None)

    async def test_a_worker_asked_to_drain_is_told_once(self, worker: Worker) -> None:
        await drain_workers(worker.rows.connection)
        await eventually(lambda: worker.heard.words)
        since = (await worker.row())["heartbeat_at"]

        async def has_renewed() -> bool:
            return bool((await worker.row())["heartbeat_at"] > since + QUICK.heartbeat * 2)

        await eventually(has_renewed)
        assert worker.heard.words == ["draining"]

    async def test_a_cancel_request_is_heard_at_once(self, rows: Rows, database: str) -> None:
        calm = replace(QUICK, heartbeat=timedelta(seconds=0.6), presence_grace=timedelta(seconds=5))
        slow = calm.scaled(100)
        async with present(rows, database, slow) as worker:  # a heartbeat of a minute
            first, _second = await rows.claimed(2, worker=worker.number)
            await rows.value("operations.request_cancel", first["id"], "user", None)
            await promptly(lambda: worker.heard.cancels, within=2)
            assert worker.heard.cancels == {(first["id"], first["token"])}

    async def test_a_cancel_request_whose_notification_was_lost_is_heard_a_heartbeat_later(
        self, worker: Worker
    ) -> None:
        (claim,) = await worker.rows.claimed(worker=worker.number)
        await worker.rows.connection.execute(
            "update headrace.jobs set cancel_requested_at = now() where id = $1", claim["id"]
        )
        await promptly(lambda: worker.heard.cancels, within=2)


class TestOutage:
    async def test_a_worker_that_cannot_renew_stops_in_time_and_goes_on_after(
        self, rows: Rows, database: str
    ) -> None:
        async with proxy_to(database) as proxy, present(rows, proxy.address) as worker:
            with listening() as told:
                proxy.refuse()
                proxy.cut()
                await eventually(lambda: worker.heard.words == ["no_new", "cancel"])
                assert worker.presence.standing is Standing.CANCEL
                assert not worker.presence.is_healthy
                expired = await worker.row()
                assert expired["age"] > QUICK.lease - QUICK.heartbeat
                proxy.accept()
                await eventually(lambda: worker.heard.words[2:] == ["reachable"])
                await eventually(lambda: told.of(DatabaseBack))
            await eventually(worker.is_renewed)
            assert worker.presence.is_healthy
            assert [event.action for event in told.of(LeaseAtRisk)] == [
                "start no new step",
                "cancel running steps",
            ]
            assert (len(told.of(DatabaseLost)), len(told.of(DatabaseBack))) == (1, 1)

    async def test_a_worker_that_was_lost_meanwhile_is_told_so(
        self, rows: Rows, database: str
    ) -> None:
        async with proxy_to(database) as proxy, present(rows, proxy.address) as worker:
            proxy.refuse()
            proxy.cut()
            await eventually(lambda: _lose(rows, worker))
            proxy.accept()
            await eventually(lambda: "lost" in worker.heard.words)
            assert "reachable" not in worker.heard.words


async def _lose(rows: Rows, worker: Worker) -> bool:
    found = await lose_workers(rows.connection, grace=QUICK.presence_grace)
    return [lost.id for lost in found] == [worker.number]


class TestPooler:
    async def test_behind_a_pooler_the_lease_alone_decides_and_that_is_said_once(
        self, rows: Rows, database: str
    ) -> None:
        with listening() as told:
            async with (
                proxy_to(database, is_pooler=True) as proxy,
                present(rows, proxy.address) as worker,
            ):
                first = (await worker.row())["heartbeat_at"]

                async def has_renewed() -> bool:
                    return bool((await worker.row())["heartbeat_at"] > first)

                await eventually(has_renewed)
                assert not (await worker.row())["presence"]
                assert not worker.presence.is_direct
                assert await worker.lock_holders() == []
        assert len(told.of(PresenceUnavailable)) == 1
