"""Dead workers are found by any living one, and their jobs run elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import asyncpg
import pytest

from headrace.store.pool import connect
from headrace.store.session import ENGINE_SETTINGS, Session
from headrace.telemetry.job_events import (
    CrashCharged,
    DeadLettered,
    JobCancelled,
    JobFailed,
    JobRecovered,
    JobSuspected,
)
from headrace.telemetry.worker_events import WorkerLost
from headrace.worker.reaper import Reaper
from headrace.worker.timing import Timing
from tests.engine_rows import RULES, Rows
from tests.listening import Told, listening
from tests.waiting import eventually

QUICK = Timing().scaled(1 / 30)  # a heartbeat of 0.1 s
PAST_LEASE = timedelta(seconds=31)


@pytest.fixture
async def rows(database: str) -> AsyncIterator[Rows]:
    rows = await Rows.open(database)
    yield rows
    await rows.close()


@pytest.fixture
def told() -> AsyncIterator[Told]:
    with listening() as told:
        yield told


def session_to(database: str) -> Session:
    async def connect_one() -> asyncpg.Connection[asyncpg.Record]:
        return await connect(database, name="upkeep", settings=ENGINE_SETTINGS)

    return Session(connect_one)


@pytest.fixture
async def reaper(database: str) -> AsyncIterator[Reaper]:
    session = session_to(database)
    reaper = Reaper(session, 99, QUICK, RULES)
    yield reaper
    await reaper.stop()
    session.close()


def is_queued(rows: Rows, count: int) -> Callable[[], object]:
    async def look() -> bool:
        return await rows.count("queued") == count

    return look


class TestReaper:
    async def test_jobs_of_a_dead_worker_are_queued_again_and_this_is_told(
        self, rows: Rows, reaper: Reaper, told: Told
    ) -> None:
        worker = await rows.worker()
        claims = await rows.claimed(3, worker=worker)
        await rows.wait(PAST_LEASE)
        reaper.start()
        await eventually(lambda: len(told.of(JobRecovered)) == 3)
        (lost,) = told.of(WorkerLost)
        assert (lost.lost_worker_id, lost.reason, lost.jobs) == (str(worker), "lease over", 3)
        recovered = told.of(JobRecovered)[0]
        assert (recovered.pipeline, recovered.queue, recovered.lost_worker_id) == (
            "pipe",
            "default",
            str(worker),
        )
        assert {event.job_id for event in told.of(JobRecovered)} == {row["id"] for row in claims}
        assert await rows.count("claims") == 0

    async def test_it_rings_for_what_it_set_free(self, rows: Rows, reaper: Reaper) -> None:
        await rows.claimed()
        await rows.wait(PAST_LEASE)
        rings: list[object] = []
        await rows.connection.add_listener("headrace_jobs", lambda *ring: rings.append(ring[-1]))
        reaper.start()
        await eventually(lambda: rings == ["default"])

    async def test_it_holds_back_for_a_heartbeat_so_that_the_living_can_renew(
        self, rows: Rows, database: str, told: Told
    ) -> None:
        session = session_to(database)
        reaper = Reaper(session, 99, Timing(), RULES)  # a heartbeat of 3 s
        worker = await rows.worker()
        await rows.wait(PAST_LEASE)
        await reaper.tick()
        await reaper.tick()
        assert told.of(WorkerLost) == []
        session.close()
        assert worker

    async def test_it_holds_back_again_after_it_lost_the_database(
        self, rows: Rows, database: str
    ) -> None:
        session = session_to(database)
        reaper = Reaper(session, 99, Timing().scaled(1 / 6), RULES)  # it holds back for 0.5 s
        reaper.start()
        await eventually(lambda: reaper.is_judging)
        await rows.connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name = 'upkeep' and datname = current_database()"
        )
        await eventually(lambda: not reaper.is_judging)
        await eventually(lambda: reaper.is_judging)
        await reaper.stop()
        session.close()

    async def test_two_reapers_and_one_that_died_half_way_recover_each_job_once(
        self, rows: Rows, database: str
    ) -> None:
        workers = [await rows.worker() for _ in range(5)]
        for worker in workers:
            await rows.claimed(4, worker=worker)
        # One died after it had marked them lost, and after its first claim.
        await rows.wait(PAST_LEASE)
        await rows.connection.execute("update headrace.workers set lost_at = headrace.now()")
        sessions = [session_to(database) for _ in range(2)]
        reapers = [Reaper(session, 99, QUICK, RULES) for session in sessions]
        for reaper in reapers:
            reaper.start()
        await eventually(is_queued(rows, 20))
        for reaper in reapers:
            await reaper.stop()
        for session in sessions:
            session.close()
        losses = await rows.connection.fetchval("select max(lease_losses) from headrace.jobs")
        assert losses == 1

    async def test_a_claim_that_was_committed_after_the_verdict_is_found_too(
        self, rows: Rows, reaper: Reaper
    ) -> None:
        worker = await rows.worker()
        reaper.start()
        await rows.claimed(worker=worker)
        await rows.connection.execute(
            "update headrace.workers set lost_at = headrace.now() where id = $1", worker
        )
        await eventually(is_queued(rows, 1))

    async def test_a_cancelled_job_ends_and_is_told(
        self, rows: Rows, reaper: Reaper, told: Told
    ) -> None:
        (claim,) = await rows.claimed()
        await rows.value("operations.request_cancel", claim["id"], "ann", None)
        await rows.wait(PAST_LEASE)
        reaper.start()
        await eventually(lambda: told.of(JobCancelled))
        assert told.of(JobCancelled)[0].actor == "ann"

    async def test_a_step_that_kills_its_worker_is_found_charged_and_ended(
        self, rows: Rows, reaper: Reaper, told: Told
    ) -> None:
        (job,) = await rows.submit()
        reaper.start()
        await eventually(lambda: reaper.is_judging)
        for death in range(1, 6):
            await rows.wait(timedelta(seconds=40))
            worker = await rows.worker()
            (claim,) = await rows.claim(worker, suspects=death > 2)
            await rows.record_start(claim, worker)
            await rows.wait(PAST_LEASE)
            await eventually(lambda death=death: len(told.of(WorkerLost)) == death)
            await eventually(is_queued(rows, int(death < 5)))
        await eventually(lambda: told.of(DeadLettered))
        (failed,) = told.of(JobFailed)
        assert (failed.job_id, failed.cause, failed.step) == (job, "worker_lost", "step")
        assert (len(told.of(JobSuspected)), len(told.of(CrashCharged))) == (1, 3)
        assert [event.attempts for event in told.of(DeadLettered)] == [3]
