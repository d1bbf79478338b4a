"""Group commits: what one entry suffers is its own, and each outcome is told once."""

import asyncio
from uuid import UUID

import asyncpg
import pytest

from headrace.store.entries import (
    Committed,
    Refused,
    Stale,
)
from headrace.telemetry.store_events import LedgerSplit
from tests.engine.entries import KINDS, claims_on, group, state_after
from tests.engine.wire import wire_to
from tests.engine_rows import Rows
from tests.listening import listening
from tests.waiting import eventually


@pytest.mark.parametrize("kind", KINDS)
class TestStaleTokens:
    async def test_one_refuses_exactly_its_own_job(self, database: str, kind: str):
        async with claims_on(database, lanes=1) as jobs:
            claims = await jobs.rows.claimed(20, worker=jobs.worker)
            await jobs.rows.connection.execute(
                "update headrace.jobs set token = token + 1 where id = $1", claims[7]["id"]
            )
            for claim in claims:
                jobs.ledger.write(jobs.entry(claim, kind))
            outcomes = await jobs.outcomes(claims)
            assert outcomes.pop(7) == Stale()
            assert outcomes == [Committed(state_after(kind))] * 19
            assert claims[7]["id"] not in await jobs.stored()

    async def test_a_job_that_was_taken_away_is_not_touched(self, database: str, kind: str):
        async with claims_on(database, lanes=1) as jobs:
            [claim] = await jobs.rows.claimed(1, worker=jobs.worker)
            await jobs.rows.connection.execute(
                "update headrace.jobs set state = 'cancelled', worker = null,"
                " finished_at = now() where id = $1",
                claim["id"],
            )
            before = await jobs.rows.job(claim["id"])
            jobs.ledger.write(jobs.entry(claim, kind))
            assert await jobs.outcomes([claim]) == [Stale()]
            assert await jobs.rows.job(claim["id"]) == before


@pytest.mark.parametrize("kind", KINDS)
class TestRefusedEntries:
    async def test_one_fails_alone_and_nothing_of_it_is_stored(self, database: str, kind: str):
        async with claims_on(database, lanes=1) as jobs:
            await jobs.rows.connection.execute(
                "alter table headrace.steps add constraint no_poison"
                " check (output::text <> '\"poison\"')"
            )
            claims = await jobs.rows.claimed(20, worker=jobs.worker)
            for number, claim in enumerate(claims):
                output = '"poison"' if number in {3, 13} else "1"
                jobs.ledger.write(jobs.entry(claim, kind, output))
            with listening() as told:
                outcomes = await jobs.outcomes(claims)
            splits = told.of(LedgerSplit)
            assert max(split.records for split in splits) == 20
            assert all("no_poison" in split.error for split in splits)
            for number in (13, 3):
                refused = outcomes.pop(number)
                assert isinstance(refused, Refused)
                assert "no_poison" in str(refused.error)
                assert (await jobs.rows.job(claims[number]["id"]))["state"] == "running"
            assert outcomes == [Committed(state_after(kind))] * 18
            assert sum((await jobs.stored()).values()) == 18


@pytest.mark.parametrize("kind", KINDS)
class TestContendedRows:
    async def test_one_goes_into_a_later_group_and_holds_up_no_other(
        self, database: str, kind: str
    ):
        async with claims_on(database, lanes=1) as jobs:
            claims = await jobs.rows.claimed(20, worker=jobs.worker)
            other = await asyncpg.connect(database)
            transaction = other.transaction()
            await transaction.start()
            await other.execute(
                "select from headrace.jobs where id = $1 for update", claims[7]["id"]
            )
            for claim in claims:
                jobs.ledger.write(jobs.entry(claim, kind))
            free = [claim for number, claim in enumerate(claims) if number != 7]
            assert await jobs.outcomes(free) == [Committed(state_after(kind))] * 19
            assert claims[7]["id"] not in jobs.told
            assert jobs.ledger.pending == 1
            await transaction.rollback()
            assert await jobs.outcomes(claims) == [Committed(state_after(kind))] * 20
            await other.close()


@pytest.mark.parametrize("kind", KINDS)
class TestLostAnswers:
    async def test_a_group_that_was_committed_is_found_and_not_written_again(
        self, database: str, kind: str
    ):
        async with wire_to(database) as wire, claims_on(database, wire.address, lanes=1) as jobs:
            claims = await jobs.rows.claimed(20, worker=jobs.worker)
            wire.lose_answer("ledger", group(kind))
            for claim in claims:
                jobs.ledger.write(jobs.entry(claim, kind))
            assert await jobs.outcomes(claims) == [Committed(state_after(kind))] * 20
            assert wire.fired.is_set()
            assert set((await jobs.stored()).values()) == {1}
            history = await jobs.rows.history(claims[0]["id"])
            assert len(history) == (2 if kind == "checkpoint" else 3)
            assert await jobs.rows.count("tries") == (20 if kind == "change" else 0)

    async def test_a_group_that_never_arrived_is_sent_again(self, database: str, kind: str):
        async with wire_to(database) as wire, claims_on(database, wire.address, lanes=1) as jobs:
            first, second = await jobs.rows.claimed(2, worker=jobs.worker)
            jobs.ledger.write(jobs.entry(first, kind))
            await jobs.outcomes([first])
            wire.cut("ledger")
            jobs.ledger.write(jobs.entry(second, kind))
            assert await jobs.outcomes([second]) == [Committed(state_after(kind))]

    async def test_what_another_did_with_the_job_meanwhile_stands(self, database: str, kind: str):
        """The answer is lost, and before the worker is back the job has another holder."""
        async with wire_to(database) as wire, claims_on(database, wire.address, lanes=1) as jobs:
            claims = await jobs.rows.claimed(1, worker=jobs.worker)
            wire.lose_answer("ledger", group(kind), refuse=True)
            jobs.ledger.write(jobs.entry(claims[0], kind))
            await asyncio.wait_for(wire.fired.wait(), 5)
            await eventually(jobs.stored)
            await take_over(jobs.rows, claims[0]["id"])
            before = await jobs.rows.job(claims[0]["id"])
            wire.accept()
            [outcome] = await jobs.outcomes(claims)
            # An end that was ours is known to be; a checkpoint need not be, its holder is another.
            assert outcome == (Stale() if kind == "checkpoint" else Committed(state_after(kind)))
            assert await jobs.rows.job(claims[0]["id"]) == before


async def take_over(rows: Rows, job: UUID) -> None:
    await rows.connection.execute(
        """
        with moved as (
            update headrace.jobs
            set token = nextval('headrace.tokens'), seq = seq + 1,
                state = case when state = 'completed' then state else 'running' end,
                worker = case when state = 'completed' then null else 999 end
            where id = $1 and state <> 'completed'
            returning id, seq, run, token
        )
        insert into headrace.job_events (job, seq, run, from_state, to_state, reason, worker, token)
        select id, seq, run, 'queued', 'running', 'claimed', 999, token from moved
        """,
        job,
    )


class TestConflicts:
    @pytest.mark.parametrize("code", ["40001", "40P01", "55P03"])
    async def test_a_fifth_of_the_writes_fails_and_everything_is_stored_once(
        self, database: str, code: str
    ):
        async with claims_on(database, most=10) as jobs:
            await jobs.rows.connection.execute(f"""
                create function conflict() returns trigger language plpgsql as $$
                begin
                    if random() < 0.2 then
                        raise exception 'conflict' using errcode = '{code}';
                    end if;
                    return null;
                end $$;
                create trigger conflict after insert on headrace.steps
                    for each statement execute function conflict();
                create trigger conflict after update on headrace.jobs
                    for each statement execute function conflict();
            """)
            async with jobs.rows.connection.transaction():
                await jobs.rows.connection.execute("set local session_replication_role = replica")
                claims = await jobs.rows.claimed(120, worker=jobs.worker)
            for number, claim in enumerate(claims):
                jobs.ledger.write(jobs.entry(claim, KINDS[number % 3]))
            outcomes = await jobs.outcomes(claims)
            assert outcomes == [Committed(state_after(KINDS[n % 3])) for n in range(120)]
            assert set((await jobs.stored()).values()) == {1}
            assert await jobs.rows.count("job_events") == 120 * 2 + 80

    async def test_a_full_disk_holds_entries_back_and_refuses_none(self, database: str):
        async with claims_on(database, lanes=1) as jobs:
            claims = await jobs.rows.claimed(5, worker=jobs.worker)
            await jobs.rows.connection.execute("""
                create function full_disk() returns trigger language plpgsql as $$
                begin
                    raise exception 'could not extend file' using errcode = '53100';
                end $$;
                create trigger full_disk before insert on headrace.steps
                    for each statement execute function full_disk();
            """)
            for claim in claims:
                jobs.ledger.write(jobs.entry(claim, "finish"))
            await asyncio.sleep(1)
            assert jobs.told == {}
            assert jobs.ledger.pending == 5
            await jobs.rows.connection.execute("drop trigger full_disk on headrace.steps")
            assert await jobs.outcomes(claims) == [Committed("completed")] * 5


class TestGroups:
    async def test_entries_that_come_together_are_committed_together(self, database: str):
        async with claims_on(database, lanes=1) as jobs:
            claims = await jobs.rows.claimed(200, worker=jobs.worker)
            for claim in claims:
                jobs.ledger.write(jobs.entry(claim, "checkpoint"))
            await jobs.outcomes(claims)
            transactions = await jobs.rows.connection.fetchval(
                "select count(distinct xmin::text) from headrace.steps"
            )
            assert transactions == 1

    async def test_a_group_has_no_more_than_its_most(self, database: str):
        async with claims_on(database, lanes=1, most=50) as jobs:
            claims = await jobs.rows.claimed(200, worker=jobs.worker)
            for claim in claims:
                jobs.ledger.write(jobs.entry(claim, "checkpoint"))
            await jobs.outcomes(claims)
            sizes = await jobs.rows.connection.fetch(
                "select count(*) from headrace.steps group by xmin::text"
            )
            assert [row[0] for row in sizes] == [50] * 4

    async def test_flush_returns_when_every_outcome_is_known(self, database: str):
        async with claims_on(database) as jobs:
            claims = await jobs.rows.claimed(100, worker=jobs.worker)
            for claim in claims:
                jobs.ledger.write(jobs.entry(claim, "finish"))
            await asyncio.wait_for(jobs.ledger.flush(), 10)
            assert len(jobs.told) == 100

    async def test_a_worker_that_was_marked_lost_writes_nothing_more(self, database: str):
        async with claims_on(database) as jobs:
            claims = await jobs.rows.claimed(3, worker=jobs.worker)
            for claim in claims:
                jobs.ledger.write(jobs.entry(claim, "finish"))
            jobs.ledger.drop_all()
            assert await jobs.outcomes(claims) == [Stale()] * 3
            assert await jobs.stored() == {}


class TestBackPressure:
    async def test_callers_wait_while_too_many_entries_wait(self, database: str):
        async with claims_on(database, lanes=1, most=2, room=5) as jobs:
            claims = await jobs.rows.claimed(12, worker=jobs.worker)
            blocker = await asyncpg.connect(database)
            transaction = blocker.transaction()
            await transaction.start()
            await blocker.execute("lock table headrace.steps in access exclusive mode")
            await asyncio.wait_for(jobs.ledger.wait_for_room(), 1)
            for claim in claims:
                jobs.ledger.write(jobs.entry(claim, "finish"))
            waiting = asyncio.create_task(jobs.ledger.wait_for_room())
            await asyncio.sleep(0.2)
            assert not waiting.done()
            await transaction.rollback()
            await asyncio.wait_for(waiting, 5)
            await jobs.outcomes(claims)
            await blocker.close()
