"""The hot statements touch what they are about, however large the tables are."""

from __future__ import annotations

import pytest
from asyncpg import Record

from headrace.store.databases import fresh_database
from headrace.store.sql import SQL
from tests.engine_rows import Rows
from tests.store.plans import (
    CLAIM,
    LANES,
    READY,
    Connection,
    check,
    explain,
    explain_claim,
    explain_each,
    running,
)
from tests.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

PRESENCE = True
ANY = (None,) * 10
"""The filters of a listing besides tenant and owner."""
READ_SO_FAR = """
select seq_scan as scans, coalesce(idx_tup_fetch, 0) as rows
from pg_stat_xact_user_tables where schemaname = 'headrace' and relname = 'steps'
"""
"""How this connection has read `steps`, in all."""
OWNERS = ("owner", "small", "middling", "nobody") * 3


class TestLedger:
    async def test_finish_jobs(self, large: Connection):
        jobs, tokens = await running(large)
        found = await explain(
            large, "ledger.finish_jobs", jobs, tokens, ["last"] * CLAIM, [1] * CLAIM, [1] * CLAIM,
            [1] * CLAIM, ["1"] * CLAIM, ["last"] * CLAIM, 1,
        )  # fmt: skip
        check(found, {"jobs": ({"jobs_pkey"}, 2 * CLAIM)})

    async def test_checkpoint_steps(self, large: Connection):
        jobs, tokens = await running(large)
        found = await explain(
            large, "ledger.checkpoint_steps", jobs, tokens, ["next"] * CLAIM, [""] * CLAIM,
            [1] * CLAIM, [1] * CLAIM, [1] * CLAIM, ["1"] * CLAIM, 1,
        )  # fmt: skip
        check(found, {"jobs": ({"jobs_pkey"}, CLAIM)})

    async def test_fence_jobs(self, large: Connection):
        jobs, tokens = await running(large)
        found = await explain(large, "ledger.fence_jobs", jobs, tokens)
        check(found, {"jobs": ({"jobs_pkey"}, CLAIM)})

    async def test_read_back(self, large: Connection):
        jobs, tokens = await running(large)
        found = await explain(large, "ledger.read_back", jobs, tokens, 1)
        check(
            found,
            {"jobs": ({"jobs_pkey"}, CLAIM), "job_events": ({"job_events_pkey"}, CLAIM)},
        )

    async def test_release_jobs(self, large: Connection):
        jobs, _ = await running(large)
        found = await explain(
            large, "ledger.release_jobs", jobs, [0.0] * CLAIM, ["released"] * CLAIM,
            [None] * CLAIM, 1, "1 minute", [None] * CLAIM, [None] * CLAIM,
        )  # fmt: skip
        nothing = {"signals": ({"signals_pkey"}, 0), "children": ({"children_pkey"}, 0)}
        check(found, {"jobs": ({"jobs_pkey"}, 2 * CLAIM), **nothing})


class TestSubmissions:
    async def test_insert_jobs_reads_no_table(self, large: Connection):
        ids = [f"01990000-0000-7000-8000-{number:012x}" for number in range(CLAIM)]
        found = await explain(
            large, "submit.insert_jobs", ids, ["1"] * CLAIM, 1, "tenant", "owner", 5, None,
            "1 minute", None, None, None, None, None, None, None, "default",
        )  # fmt: skip
        assert found == {}


class TestRequests:
    async def test_insert_jobs_reads_no_table(self, large: Connection):
        ids = [f"0192f1e2-1234-7abc-8def-00000000000{n}" for n in range(3)]
        found = await explain(
            large, "requests.insert_jobs", ids, ["1"] * 3, [1] * 3, ["a"] * 3, ["b"] * 3, [5] * 3,
            [], [], [], [], [], [], [], [], [], "1 min", "default",
        )  # fmt: skip
        assert found == {}

    async def test_insert_keyed_jobs_reads_no_table(self, large: Connection):
        ids = [f"0192f1e2-1234-7abc-8def-00000000000{n}" for n in range(3)]
        found = await explain(
            large, "requests.insert_keyed_jobs", ids, ["1"] * 3, [1] * 3, ["a"] * 3, ["b"] * 3,
            [5] * 3, [], [], [], [], [], [], [], [], [], "1 min", "default", ["x", "y", "z"], [],
        )  # fmt: skip
        assert found == {}

    async def test_find_keyed_jobs_reads_the_keys(self, large: Connection):
        found = await explain(large, "requests.find_keyed_jobs", ["tenant"], ["owner"], ["key"])
        assert found["jobs"].ways == {"jobs_idempotency"}

    async def test_find_owned_job_reads_one_job(self, large: Connection):
        job = await large.fetchval("select id from headrace.jobs limit 1")
        found = await explain(large, "requests.find_owned_job", str(job), "tenant", "owner")
        check(found, {"jobs": ({"jobs_pkey"}, 1)})

    async def test_request_keys_are_found_by_key(self, large: Connection):
        found = await explain(large, "requests.find_request", "tenant", "owner", "key")
        assert found["request_keys"].ways == {"request_keys_pkey"}


class TestListings:
    """On a connection of clients, where the server plans each use for itself while that pays."""

    @pytest.mark.parametrize(("owner", "jobs"), [("small", 31), ("middling", 31), ("nobody", 0)])
    async def test_a_page_of_ones_own_jobs_reads_so_many(
        self, clients: Connection, owner: str, jobs: int
    ):
        (found,) = await explain_each(
            clients,
            "reads.list_jobs",
            [("tenant", owner, *ANY, None, 31, None, 0)],
            before=[("tenant", one, *ANY, None, 31, None, 0) for one in OWNERS],
        )
        assert found["jobs"].ways == {"jobs_listing"}
        assert found["jobs"].rows == jobs

    @pytest.mark.parametrize("owner", ["small", "middling", "nobody"])
    async def test_ones_own_jobs_are_counted_up_to_the_limit(self, clients: Connection, owner: str):
        (found,) = await explain_each(
            clients,
            "reads.count_jobs",
            [("tenant", owner, *ANY, 101, None)],
            before=[("tenant", one, *ANY, 101, None) for one in OWNERS],
        )
        assert found["jobs"].ways == {"jobs_listing"}
        assert found["jobs"].rows <= 110


class TestWorkers:
    async def test_renew_worker(self, large: Connection):
        found = await explain(large, "workers.renew_worker", 7, "1 hour", PRESENCE, 3, [1, 2])
        check(found, {"workers": ({"workers_pkey"}, 1)})

    async def test_recover_jobs_reads_one_claim_and_its_jobs(self, large: Connection):
        _, tokens = await running(large)
        found = await explain(
            large, "recovery.recover_jobs", tokens[0], "1 minute", 3, "5 s", "30 s", 7
        )
        assert found["claims"].ways == {"claims_pkey"}
        assert found["claims"].rows == 1
        assert found["jobs"].ways == {"jobs_pkey"}
        assert found["jobs"].rows <= 2 * CLAIM
        assert found["progress"].ways == {"progress_pkey"}
        assert found["progress"].rows <= 2 * CLAIM
        assert found["lanes"].rows <= CLAIM

    async def test_cancel_requests_reads_the_claims_of_one_worker(self, large: Connection):
        found = await explain(large, "workers.cancel_requests", 7)
        assert found["jobs"].ways == {"jobs_pkey"}
        assert found["jobs"].rows <= 3 * CLAIM

    async def test_expire_queued_reads_what_has_a_deadline(self, large: Connection):
        found = await explain(large, "recovery.expire_queued", 100)
        assert found["queued"].ways == {"queued_deadline", "Tid Scan"}
        assert found["queued"].rows <= 2

    async def test_orphaned_claims_reads_the_claims_of_dead_workers(self, large: Connection):
        async with large.transaction():
            await large.execute("update headrace.workers set lost_at = now() where id = 7")
            found = await explain(large, "workers.orphaned_claims", 100)
        assert found["jobs"].ways == {"jobs_pkey"}
        assert found["jobs"].rows <= 3 * CLAIM

    async def test_forget_claim_reads_one_claim_and_its_jobs(self, large: Connection):
        _, tokens = await running(large)
        found = await explain(large, "recovery.forget_claim", tokens[0])
        assert found["jobs"].ways == {"jobs_pkey"}
        assert found["jobs"].rows <= CLAIM

    async def test_drop_idle_claims_reads_the_claims_of_one_worker(self, large: Connection):
        found = await explain(large, "claims.drop_idle_claims", 7, [])
        assert found["jobs"].ways == {"jobs_pkey"}
        assert found["jobs"].rows <= 3 * CLAIM


class TestSignals:
    async def test_read_signals_reads_of_jobs_only_those_that_run(self, large: Connection):
        found = await explain(large, "signals.read_signals")
        assert found["jobs"].ways == {"jobs_pkey"}
        count = await large.fetchval("select sum(cardinality(jobs)) from headrace.claims")
        assert found["jobs"].rows <= count
        assert found["dead_letters"].ways == {"dead_letters_newest"}


class TestTheseTests:
    async def test_a_statement_that_reads_a_whole_table_would_be_seen(self, large: Connection):
        async with large.transaction():
            await large.execute("set local enable_seqscan = on; drop index headrace.queued_ready")
            lanes = list(range(1, LANES + 1))
            found = await explain_claim(large, lanes)
        assert found["queued"].rows > READY

    async def test_the_tables_are_large(self, large: Connection):
        assert await large.fetchval("select count(*) from headrace.jobs") > 50_000


class TestHeapOnlyUpdates:
    async def test_claims_and_finishes_touch_no_index_of_jobs(
        self, database_server: str, template: str
    ):
        async with fresh_database(database_server, template) as address:
            rows = await Rows.open(address)
            await rows.submit(1_000)
            worker = await rows.worker()
            batches = []
            while claims := await rows.claim(worker, CLAIM):
                batches.append(claims)
            await past_transactions_are_over(rows)
            for claims in batches:
                await finish(rows, claims, worker)
            await rows.connection.execute("select pg_stat_force_next_flush()")
            updated = await rows.connection.fetchrow(
                "select n_tup_upd, n_tup_hot_upd from pg_stat_user_tables"
                " where relid = 'headrace.jobs'::regclass"
            )
            await rows.close()
        assert tuple(updated or ()) == (2_000, 2_000)


async def past_transactions_are_over(rows: Rows) -> None:
    """Wait until old versions of rows may be removed: any transaction of the server keeps them."""
    now = await rows.connection.fetchval("select pg_snapshot_xmax(pg_current_snapshot())::text")

    async def is_over() -> bool:
        oldest = await rows.connection.fetchval(
            "select pg_snapshot_xmin(pg_current_snapshot())::text"
        )
        return int(oldest) >= int(now)

    await eventually(is_over, within=30)


class TestFollowing:
    async def test_read_next_looks_at_the_jobs_that_are_followed(self, large: Connection):
        jobs, _ = await running(large)
        found = await explain(
            large, "following.read_next", jobs, ["tenant"] * CLAIM, ["owner"] * CLAIM,
            [1] * CLAIM, [0] * CLAIM, [0] * CLAIM, 100,
        )  # fmt: skip
        check(
            found,
            {
                "jobs": ({"jobs_pkey"}, CLAIM),
                "job_events": ({"job_events_pkey"}, CLAIM),
                "steps": ({"steps_pkey"}, 2 * CLAIM),
                "tries": ({"tries_pkey"}, CLAIM),
                "progress": ({"progress_pkey"}, CLAIM),
                "waits": ({"waits_pkey"}, CLAIM),
                "signals": ({"signals_pkey"}, CLAIM),
            },
        )


class TestShowing:
    async def test_what_surrounds_a_job_is_found_by_its_id(self, large: Connection):
        jobs, _ = await running(large)
        found = await explain(large, "waits.read_around", jobs[0], 1, 100)
        check(
            found,
            {
                "waits": ({"waits_pkey"}, 1),
                "steps": ({"steps_pkey"}, 1),
                "signals": ({"signals_pkey"}, 1),
                "jobs": ({"jobs_pkey", "jobs_parent"}, 1),
                "lanes": ({"lanes_pkey"}, 1),
            },
        )


class TestLinks:
    async def test_looking_at_a_link_reads_one_job(self, large: Connection):
        jobs, _ = await running(large)
        # Of the run before the first, so that the history is looked at as well.
        found = await explain(large, "links.read_link_place", jobs[0], "approval", 0)
        check(
            found,
            {
                "jobs": ({"jobs_pkey"}, 1),
                "lanes": ({"lanes_pkey"}, 1),
                "signals": ({"signals_pkey"}, 1),
                "job_events": ({"job_events_pkey"}, 10),
            },
        )


class TestUndo:
    async def test_looking_for_what_to_undo_reads_the_steps_of_the_job(self, large: Connection):
        job = await large.fetchval("select job from headrace.steps limit 1")
        transaction = large.transaction()
        await transaction.start()
        lane = await large.fetchval(SQL["submit.add_lane"], "default", "undone", "7.0.0")
        for number in range(100):
            await large.execute(
                SQL["submit.register_pipeline"],
                *("undone", f"{number}.0.0", "hash", "{}", False, None, 1, ["first", "other"]),
            )
        before = await large.fetchrow(READ_SO_FAR)
        steps = await large.fetchval("select headrace.steps_to_undo($1, 1, $2)", job, lane)
        after = await large.fetchrow(READ_SO_FAR)
        await transaction.rollback()
        assert steps == ["first"]
        assert before is not None
        assert after is not None
        assert after["scans"] == before["scans"]
        assert after["rows"] - before["rows"] == 1

    async def test_what_undoes_a_job_is_found_by_its_parent(self, large: Connection):
        job = await large.fetchval("select job from headrace.steps limit 1")
        for statement in ("undo.lock_undo_job", "undo.read_undo_job"):
            found = await explain(large, statement, job, 1)
            check(found, {"jobs": ({"jobs_parent"}, 1)})
        check(await explain(large, "undo.lock_undo_jobs", job), {"jobs": ({"jobs_parent"}, 1)})

    async def test_which_jobs_undo_others_is_asked_by_their_ids(self, large: Connection):
        jobs, _ = await running(large)
        found = await explain(large, "undo.find_undo_jobs", jobs)
        check(found, {"jobs": ({"jobs_pkey"}, CLAIM)})


async def finish(rows: Rows, claims: list[Record], worker: int) -> None:
    count = len(claims)
    await rows.connection.execute(
        SQL["ledger.finish_jobs"],
        [claim["id"] for claim in claims], [claim["token"] for claim in claims],
        ["only"] * count, [0] * count, [1] * count, [1] * count, ["1"] * count, ["only"] * count,
        worker,
    )  # fmt: skip
