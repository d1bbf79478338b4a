"""What no worker is in charge of is put in order, by one worker at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest

from headrace.store.audit import Action, list_actions, record_action
from headrace.store.idempotency import (
    Wanted,
    begin_operation,
    complete_operation,
    list_operations,
)
from headrace.store.locks import Claimant, acquire_lock, release_lock
from headrace.store.operations import cancel_job
from headrace.store.pool import connect
from headrace.store.requests import RequestKey, begin_request
from headrace.store.retention import RetentionRules, take_duty
from headrace.store.session import ENGINE_SETTINGS, Session
from headrace.store.workers import stop_worker
from headrace.telemetry.job_events import DeadLettered, JobTimeout
from headrace.telemetry.worker_events import SweepCompleted
from headrace.worker.janitor import Janitor
from headrace.worker.timing import Timing
from tests.engine_rows import Rows
from tests.listening import Told, listening

KEEP = RetentionRules(jobs=timedelta(days=30), checkpoints=timedelta(days=7))
HOUR = timedelta(hours=1)


@pytest.fixture
async def rows(database: str) -> AsyncIterator[Rows]:
    rows = await Rows.open(database)
    yield rows
    await rows.close()


@pytest.fixture
async def session(database: str) -> AsyncIterator[Session]:
    async def connect_one() -> asyncpg.Connection[asyncpg.Record]:
        return await connect(database, settings=ENGINE_SETTINGS)

    session = Session(connect_one)
    yield session
    session.close()


@pytest.fixture
def told() -> AsyncIterator[Told]:
    with listening() as told:
        yield told


class TestDuty:
    async def test_one_worker_sweeps_at_a_time(self, session: Session, told: Told) -> None:
        first = Janitor(session, 1, Timing(), KEEP)
        second = Janitor(session, 2, Timing(), KEEP)
        await first.tick()
        await second.tick()
        await first.tick()
        assert [event.worker_id for event in told.of(SweepCompleted)] == ["1", "1"]

    async def test_another_takes_over_when_its_time_is_over(
        self, rows: Rows, session: Session, told: Told
    ) -> None:
        await Janitor(session, 1, Timing(), KEEP).tick()
        await rows.wait(timedelta(seconds=11))
        await Janitor(session, 2, Timing(), KEEP).tick()
        assert [event.worker_id for event in told.of(SweepCompleted)] == ["1", "2"]

    async def test_a_duty_is_its_holders_until_its_end(self, rows: Rows) -> None:
        assert await take_duty(rows.connection, "x", worker=1, lease=HOUR)
        assert not await take_duty(rows.connection, "x", worker=2, lease=HOUR)
        assert await take_duty(rows.connection, "y", worker=2, lease=HOUR)
        await rows.wait(HOUR)
        assert await take_duty(rows.connection, "x", worker=2, lease=HOUR)


class TestAudit:
    async def test_what_administrators_did_is_kept_for_400_days(
        self, rows: Rows, session: Session
    ) -> None:
        await record_action(rows.connection, Action("root", "queue.pause", "default"))
        await rows.wait(timedelta(days=399))
        await Janitor(session, 1, Timing(), KEEP).tick()
        assert len(await list_actions(rows.connection)) == 1
        await rows.wait(timedelta(days=2))
        await Janitor(session, 1, Timing(), KEEP).tick()
        assert await list_actions(rows.connection) == []


class TestSweep:
    async def test_due_jobs_become_claimable_and_their_queue_is_rung(
        self, rows: Rows, session: Session, told: Told
    ) -> None:
        await rows.submit(3)
        await rows.connection.execute("update headrace.queued set ready = false")
        rings: list[object] = []
        await rows.connection.add_listener("headrace_jobs", lambda *ring: rings.append(ring[-1]))
        await Janitor(session, 1, Timing(), KEEP).tick()
        assert (
            await rows.connection.fetchval("select count(*) from headrace.queued where ready") == 3
        )
        assert rings == ["default"]
        assert told.of(SweepCompleted)[0].promoted == 3

    async def test_a_paused_queue_is_not_rung(self, rows: Rows, session: Session) -> None:
        await rows.submit()
        await rows.value("operations.pause_queue", "default", "ann", None)
        rings: list[object] = []
        await rows.connection.add_listener("headrace_jobs", lambda *ring: rings.append(ring[-1]))
        await Janitor(session, 1, Timing(), KEEP).tick()
        assert await rows.connection.fetchval("select 1") == 1  # what was sent has arrived
        assert rings == []

    async def test_deadlines_that_passed_fail_their_jobs_in_batches(
        self, rows: Rows, session: Session, told: Told
    ) -> None:
        deadline = await rows.connection.fetchval("select now() + interval '10 s'")
        await rows.submit(120, deadline=deadline)
        await rows.wait(timedelta(seconds=11))
        await Janitor(session, 1, Timing(), KEEP).tick()
        assert await rows.count("queued") == 0
        assert (len(told.of(JobTimeout)), len(told.of(DeadLettered))) == (120, 120)
        assert told.of(SweepCompleted)[0].expired == 120

    async def test_progress_of_ended_and_abandoned_work_is_removed(
        self, rows: Rows, session: Session
    ) -> None:
        worker = await rows.worker()
        ended, running, suspect, released = await rows.claimed(4, worker=worker)
        for claim in (ended, running, suspect, released):
            await rows.record_start(claim, worker)
        await rows.connection.execute(
            "update headrace.progress set recorded = false where job = any($1::uuid[])",
            [running["id"], released["id"]],
        )
        await rows.end(ended)
        for claim in (suspect, released):
            await rows.connection.execute(
                "update headrace.jobs set state = 'queued', worker = null where id = $1",
                claim["id"],
            )
        await Janitor(session, 1, Timing(), KEEP).tick()
        left = await rows.connection.fetch("select job from headrace.progress")
        assert {row["job"] for row in left} == {running["id"], suspect["id"]}


class TestOrphans:
    async def test_while_many_are_cancelled_others_get_the_connection(
        self, rows: Rows, session: Session
    ) -> None:
        """Those who look for dead workers share it."""
        parent, *children = await rows.submit(31)
        await rows.connection.execute(
            "insert into headrace.children (child, parent, run)"
            " select id, $1, 1 from unnest($2::uuid[]) as id",
            parent, children,
        )  # fmt: skip
        await cancel_job(rows.connection, parent, by="test", reason=None)
        sweep = asyncio.create_task(Janitor(session, 1, Timing(), KEEP).tick())
        seen = set()
        while not sweep.done():
            async with session.use() as connection:
                seen.add(await connection.fetchval("select count(*) from headrace.queued"))
        await sweep
        assert len(seen) > 10, "its turn came while they were cancelled"


class TestCleanup:
    async def test_it_is_done_once_an_hour_by_one_worker(
        self, rows: Rows, session: Session, told: Told
    ) -> None:
        janitor = Janitor(session, 1, Timing(), KEEP)
        await janitor.tick()
        worker = await rows.worker()
        await stop_worker(rows.connection, worker)
        await rows.wait(timedelta(days=8))
        await janitor.tick()
        assert await rows.count("workers") == 1  # its hour is not over by its own clock
        await rows.wait(timedelta(seconds=11))
        await Janitor(session, 2, Timing(), KEEP).tick()
        assert await rows.count("workers") == 0
        assert told.of(SweepCompleted)[-1].removed == 1

    async def test_old_jobs_are_deleted_in_the_course_of_sweeps(
        self, rows: Rows, session: Session
    ) -> None:
        for claim in await rows.claimed(30):
            await rows.end(claim)
        await rows.wait(timedelta(days=31))
        await Janitor(session, 1, Timing(), KEEP).tick()
        assert await rows.count("jobs") == 0

    async def test_answers_to_keys_are_deleted_when_their_time_is_over(
        self, rows: Rows, session: Session
    ) -> None:
        key = RequestKey("tenant", "owner", "key")
        hour = timedelta(hours=1)
        await begin_request(rows.connection, key, b"1", pending=hour, keep=hour)
        await rows.wait(timedelta(minutes=59))
        await Janitor(session, 1, Timing(), KEEP).tick()
        assert await rows.count("request_keys") == 1
        await rows.wait(timedelta(hours=2))
        await Janitor(session, 1, Timing(), KEEP).tick()
        assert await rows.count("request_keys") == 0

    async def test_locks_that_nobody_held_for_long_and_old_grants_are_deleted(
        self, rows: Rows, session: Session
    ) -> None:
        at, lease = rows.connection, timedelta(days=30)
        for key in ("old", "held"):
            await acquire_lock(at, "acme", key, lease=lease, claimant=Claimant(holder=key))
        await release_lock(at, "acme", "old", token=None, holder="old")
        await rows.wait(timedelta(days=2))
        await Janitor(session, 1, Timing(), KEEP).tick()
        assert await at.fetchval("select string_agg(key, ' ') from headrace.locks") == "held"
        assert await rows.count("lock_grants") == 3
        await rows.wait(timedelta(days=6))
        await Janitor(session, 1, Timing(), KEEP).tick()
        assert await rows.count("lock_grants") == 0
        again = Claimant(holder="new")
        standing = await acquire_lock(at, "acme", "old", lease=HOUR, claimant=again)
        assert standing is not None
        assert standing.token > 2

    async def test_outcomes_of_operations_are_deleted_when_their_time_is_over(
        self, rows: Rows, session: Session
    ) -> None:
        for key, keep in (("old", HOUR), ("new", 3 * HOUR)):
            wanted = Wanted(tenant="acme", key=key, operation="charge", input_hash=b"")
            seen = await begin_operation(rows.connection, wanted, uuid4())
            await complete_operation(
                rows.connection, "acme", key, seen.token, keep=keep, output="1"
            )
        await rows.wait(2 * HOUR)
        await Janitor(session, 1, Timing(), KEEP).tick()
        assert [one.key for one in await list_operations(rows.connection)] == ["new"]

    async def test_artifacts_that_nothing_refers_to_are_removed_with_their_bytes(
        self, rows: Rows, session: Session
    ) -> None:
        kept, ended, running = await rows.claimed(3)
        for path, claim in (("kept", kept), ("lost", ended), ("writing", running)):
            await rows.connection.execute(
                "insert into headrace.artifacts (path, job, run, step, item, token, bytes, sha256)"
                " values ($1, $2, 1, 'step', '', $3, 1, '')",
                path,
                claim["id"],
                claim["token"],
            )
        await rows.connection.execute(
            "insert into headrace.steps (job, run, step, item, state, position, attempts, worker,"
            " token, latency_us, artifact)"
            """ values ($1, 1, 'step', '', 'completed', 0, 1, 1, 1, 1, '{"path": "kept"}')""",
            kept["id"],
        )
        await rows.end(kept)
        await rows.end(ended)
        removed: list[str] = []

        async def delete(paths: Sequence[str]) -> None:
            removed.extend(paths)

        await Janitor(session, 1, Timing(), KEEP, delete_artifacts=delete).tick()
        assert removed == []
        await rows.wait(timedelta(hours=25))
        await Janitor(session, 2, Timing(), KEEP, delete_artifacts=delete).tick()
        assert removed == ["lost"]
        assert await rows.count("artifacts") == 2
