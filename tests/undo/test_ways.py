"""Every way in which a run fails or is cancelled stores its undo job, in the same transaction."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio

from headrace.store.databases import fresh_database
from headrace.store.forcing import purge_queue
from headrace.store.operations import cancel_job
from headrace.store.retention import FIRST_ID
from headrace.store.sql import SQL
from tests.engine_rows import HEAD_START, Rows
from tests.outbox.rows import AS_NEW, ENDS, finish, subscribe
from tests.outbox.test_ends import WAYS, Way

pytestmark = pytest.mark.asyncio(loop_scope="module")

DONE = """
create or replace function public.done() returns trigger language plpgsql as $$
begin
    insert into headrace.steps (
        job, run, step, item, state, position, attempts, worker, token, latency_us, output
    )
    select new.id, 1, step, '', state, 0, 1, 1, 1, 1, '1'
    from (values ('paid', 'completed'), ('packed', 'skipped'), ('seen', 'completed'))
        as given (step, state)
    where new.undo_of is null;
    return null;
end $$;
create or replace trigger done after insert on headrace.jobs
for each row execute function public.done();
"""
"""Every job has done something from its beginning on."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address(database_server: str, template: str) -> AsyncIterator[str]:
    async with fresh_database(database_server, template) as address:
        yield address


@pytest_asyncio.fixture(loop_scope="module")
async def rows(address: str) -> AsyncIterator[Rows]:
    rows = await Rows.open(address)
    await rows.connection.execute(AS_NEW)
    await rows.connection.execute(DONE)
    await register(rows, ["paid", "packed", "shipped"])
    yield rows
    await rows.close()


async def prune(rows: Rows, what: str = "checkpoints") -> int:
    """How many checkpoints of jobs that ended 30 days ago go, or how many of the jobs."""
    async with rows.connection.transaction():
        await rows.connection.fetch(SQL["retention.allow_deletion"])
        page = await rows.connection.fetchrow(
            SQL[f"retention.prune_{what}"], FIRST_ID, timedelta(days=30), 100
        )
    assert page is not None
    return int(page["removed"])


async def register(rows: Rows, undos: list[str], version: str = "1.0.0") -> None:
    await rows.connection.execute(
        SQL["submit.register_pipeline"],
        *("pipe", version, f"{undos}", '{"steps": []}', False, None, 1, undos),
    )


class TestWays:
    @pytest.mark.parametrize(
        ("way", "state"), WAYS.items(), ids=lambda one: getattr(one, "__name__", None)
    )
    async def test_each_stores_one_undo_job_with_the_end(
        self, rows: Rows, way: Way, state: str
    ) -> None:
        origin = await rows.job(await way(rows))
        found = await rows.connection.fetch(
            "select job.*, job.xmin::text as written, entry.ready, entry.lane = job.lane as placed"
            " from headrace.jobs as job join headrace.queued as entry on entry.job = job.id"
            " where undo_of = $1",
            origin["id"],
        )
        if state == "completed":
            assert found == []
            return
        (undo,) = found
        written = await rows.connection.fetchval(
            "select xmin::text from headrace.jobs where id = $1", origin["id"]
        )
        assert undo["written"] == written
        assert (undo["undo_run"], undo["undo_steps"]) == (1, ["paid"])
        assert (undo["state"], undo["wait_reason"], undo["seq"]) == ("queued", "undo", 1)
        assert (undo["ready"], undo["placed"]) == (True, True)
        for same in ("tenant", "owner", "priority", "lane", "input"):
            assert undo[same] == origin[same]
        assert undo["due_at"] - undo["rank"] == origin["due_at"] - origin["rank"]
        assert undo["deadline"] is None
        assert undo["id"].version == 7
        assert undo["id"] > origin["id"]
        assert await rows.history(undo["id"]) == ["submitted"]

    async def test_an_undo_job_has_none_itself(self, rows: Rows) -> None:
        (job,) = await rows.submit()
        await cancel_job(rows.connection, job, by="somebody", reason=None)
        (claim,) = await rows.claim(await rows.worker())
        await rows.checkpoint(claim, ["paid"])  # as nothing but a mistake could do
        await rows.end(claim, "failed")
        assert await rows.count("jobs") == 2

    async def test_emptying_a_queue_leaves_it_there(self, rows: Rows) -> None:
        (job,) = await rows.submit()
        await cancel_job(rows.connection, job, by="somebody", reason=None)
        await rows.submit(2)
        later = await rows.connection.fetchval("select clock_timestamp() + interval '1 s'")
        count = await purge_queue(
            rows.connection, "default", by="operator", reason="wrong", before=later
        )
        left = await rows.connection.fetch(
            "select undo_of from headrace.jobs where state = 'queued'"
        )
        assert count == 2
        assert [row["undo_of"] for row in left if row["undo_of"] == job] == [job]

    async def test_what_was_taken_over_from_an_earlier_run_is_not_undone(self, rows: Rows) -> None:
        job = await finish(rows)
        await rows.connection.execute(SQL["operations.reuse_steps"], job, 1, [])
        await rows.value("operations.reopen_job", job, "ann", "replayed", None, HEAD_START)
        await cancel_job(rows.connection, job, by="somebody", reason=None)
        assert await rows.count("jobs") == 1

    async def test_the_version_of_the_job_says_whether_and_all_say_what(self, rows: Rows) -> None:
        await register(rows, ["seen"], "2.0.0")
        (job,) = await rows.submit()
        await cancel_job(rows.connection, job, by="somebody", reason=None)
        (undo,) = await rows.connection.fetch("select * from headrace.jobs where undo_of = $1", job)
        assert undo["undo_steps"] == ["paid", "seen"]
        await register(rows, [])
        (job,) = await rows.submit()
        await cancel_job(rows.connection, job, by="somebody", reason=None)
        assert await rows.count("jobs") == 3

    async def test_the_undo_of_a_job_with_keys_waits_for_none(self, rows: Rows) -> None:
        lane = await rows.value("gates.add_keyed_lane", "keyed", "pipe", "1.0.0")
        (job,) = await rows.submit(lane=lane)
        await cancel_job(rows.connection, job, by="somebody", reason=None)
        plain = await rows.value("submit.add_lane", "keyed", "pipe", "1.0.0")
        undo = await rows.connection.fetchrow("select * from headrace.jobs where undo_of = $1", job)
        assert undo is not None
        assert (undo["lane"], undo["ordering_key"], undo["position"]) == (plain, None, None)

    async def test_outputs_are_kept_until_all_is_undone(self, rows: Rows) -> None:
        (job,) = await rows.submit()
        await cancel_job(rows.connection, job, by="somebody", reason=None)
        await rows.wait(timedelta(days=40))
        assert await prune(rows) == 0
        (claim,) = await rows.claim(await rows.worker())
        await rows.end(claim)
        assert await prune(rows) == 3

    async def test_a_job_is_kept_until_all_is_undone(self, rows: Rows) -> None:
        (job,) = await rows.submit()
        await cancel_job(rows.connection, job, by="somebody", reason=None)
        await rows.wait(timedelta(days=40))
        assert await prune(rows, "jobs") == 0
        (claim,) = await rows.claim(await rows.worker())
        await rows.end(claim)
        assert await prune(rows, "jobs") == 2  # with its undo job

    async def test_events_that_leave_say_what_was_undone(self, rows: Rows) -> None:
        await subscribe(rows, events=[f"job.{end}" for end in ENDS])
        (job,) = await rows.submit()
        await cancel_job(rows.connection, job, by="somebody", reason=None)
        (claim,) = await rows.claim(await rows.worker())
        await rows.end(claim)
        payloads = await rows.connection.fetch("select payload from headrace.outbox order by id")
        first, second = (json.loads(row["payload"])["data"] for row in payloads)
        assert "undo_of" not in first
        assert (second["job_id"], second["undo_of"]) == (str(claim["id"]), str(job))
