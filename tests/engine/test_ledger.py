"""Group commits: what one entry suffers is its own, and each outcome is told once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from headrace import JobState, Pipeline, Retry
from headrace.store.entries import (
    Committed,
    End,
    Entry,
    Outcome,
    Refused,
    Release,
    Stale,
    StepRow,
    TryRow,
)
from headrace.store.ledger import Ledger
from headrace.store.pool import connect
from headrace.store.session import ENGINE_SETTINGS
from headrace.testing import Engine
from tests.engine.conftest import MakeEngine
from tests.engine.wire import Executes, Match, commit, wire_to
from tests.engine_rows import Rows
from tests.waiting import eventually

COMPLETED = End("completed", "completed", "only")
KINDS = ("finish", "checkpoint", "change")


@dataclass
class Claims:
    """Running jobs, a ledger for them, and what it says."""

    rows: Rows
    worker: int
    ledger: Ledger
    told: dict[UUID, list[Outcome]] = field(default_factory=dict)

    def settled(self, entry: Entry, outcome: Outcome) -> None:
        self.told.setdefault(entry.job, []).append(outcome)

    def entry(self, claim: asyncpg.Record, kind: str, output: str = "1") -> Entry:
        """What is written of a job, of a kind that goes its own way through the ledger."""
        entry = Entry(claim["id"], claim["token"], claim["run"], self)
        entry.add_step(StepRow("only", "", 0, 1, 1, output))
        if kind == "finish":
            entry.move = COMPLETED
        elif kind == "change":
            entry.add_try(TryRow("only", "", 1, 1, "unknown", "X", "x", None, 5.0))
            entry.move = Release(5.0, "retry")
        assert entry.kind == kind
        return entry

    async def outcomes(self, claims: Sequence[asyncpg.Record]) -> list[Outcome]:
        """What was said of these jobs; nothing is said twice."""
        await eventually(lambda: all(claim["id"] in self.told for claim in claims))
        assert all(len(told) == 1 for told in self.told.values())
        return [self.told[claim["id"]][0] for claim in claims]

    async def stored(self) -> dict[UUID, int]:
        """How many outputs each job has."""
        rows = await self.rows.connection.fetch(
            "select job, count(*) from headrace.steps group by 1"
        )
        return dict(tuple(row) for row in rows)


@contextlib.asynccontextmanager
async def claims_on(
    database: str, address: str | None = None, **options: Any
) -> AsyncIterator[Claims]:
    """Running jobs of a worker whose ledger reaches the database at `address`."""
    rows = await Rows.open(database)
    worker = await rows.worker()
    ledger = Ledger(
        lambda: connect(address or database, name="ledger", settings=ENGINE_SETTINGS),
        worker=worker,
        **options,
    )
    ledger.start()
    try:
        yield Claims(rows, worker, ledger)
    finally:
        await ledger.stop()
        await rows.close()


def state_after(kind: str) -> str | None:
    return {"finish": "completed", "checkpoint": None, "change": "queued"}[kind]


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
            outcomes = await jobs.outcomes(claims)
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


def group(kind: str) -> Match:
    """The request that commits a group of this kind."""
    texts = {
        "finish": "as given (id, token, step, position",
        "checkpoint": "as given (id, token, step, item",
    }
    return Executes(texts[kind]) if kind in texts else commit


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


class TestInTheEngine:
    async def test_what_the_database_refuses_fails_its_job_and_says_so(
        self, make_engine: MakeEngine
    ):
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        async def work(number: int) -> int:
            return number

        async with make_engine([pipe]) as engine:
            async with engine.connection() as connection:
                await connection.execute(
                    "alter table headrace.steps add constraint no_poison"
                    " check (output::text <> '13')"
                )
            jobs = await engine.submit_many(pipe, range(30))
            await engine.run_until_empty()
            for number, job in enumerate(jobs):
                row = await engine.job(job)
                if number == 13:
                    assert (row.state, row.cause) == (JobState.FAILED, "permanent_error")
                    assert row.error is not None
                    assert "no_poison" in str(row.error["message"])
                else:
                    assert row.state is JobState.COMPLETED

    async def test_conflicts_repeat_no_step(self, make_engine: MakeEngine):
        runs: list[int] = []
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step(retry=Retry(attempts=1))
        async def first(number: int) -> int:
            runs.append(number)
            return number

        @pipe.step(retry=Retry(attempts=1))
        async def second(first: int) -> int:
            return first

        async with make_engine([pipe]) as engine:
            jobs = await engine.submit_many(pipe, range(60))
            async with engine.connection() as connection:
                await connection.execute("""
                    create function conflict() returns trigger language plpgsql as $$
                    begin
                        if random() < 0.2 then
                            raise exception 'conflict' using errcode = '40001';
                        end if;
                        return null;
                    end $$;
                    create trigger conflict after insert on headrace.steps
                        for each statement execute function conflict();
                    create trigger conflict after insert on headrace.job_events
                        for each statement execute function conflict();
                """)
            await engine.run_until_empty(timeout=30)
            assert [await job.result() for job in jobs] == list(range(60))
        assert sorted(runs) == list(range(60))

    async def test_a_lost_answer_repeats_no_step(self, make_engine: MakeEngine):
        runs: list[int] = []
        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        async def work(number: int) -> int:
            runs.append(number)
            return number

        async with make_engine([pipe]) as engine, wire_to(engine.database) as wire:
            wire.lose_answer("ledger", group("finish"))
            jobs = await engine.submit_many(pipe, range(30))
            async with (
                engine.app_with([pipe], database=wire.address) as app,
                engine.worker(app=app),
            ):
                await engine.run_until_empty()
            assert wire.fired.is_set()
            assert [await job.result() for job in jobs] == list(range(30))
        assert sorted(runs) == list(range(30))

    async def test_a_slow_ledger_holds_claims_back(self, make_engine: MakeEngine):
        """While more wait than there is room for, nothing more is claimed."""
        from headrace.settings import Settings  # noqa: PLC0415 - its only use

        pipe = Pipeline("pipe", input=int, output=int)

        @pipe.step
        async def work(number: int) -> int:
            return number

        settings = Settings(ledger_queue=100, ledger_max=1)
        async with make_engine([pipe], settings=settings) as engine:
            jobs = await engine.submit_many(pipe, range(1_000))
            async with engine.connection() as blocker, engine.worker(concurrency=150):
                transaction = blocker.transaction()
                await transaction.start()
                await blocker.execute("lock table headrace.steps in access exclusive mode")
                await eventually(lambda: has_claimed(engine, 100))
                await asyncio.sleep(0.5)
                assert len(await engine.jobs(state="running")) <= 100 + 150 + 2
                await transaction.rollback()
                await engine.run_until_empty()
            assert [await job.result() for job in jobs[-3:]] == [997, 998, 999]


async def has_claimed(engine: Engine, count: int) -> bool:
    return len(await engine.jobs(state="running")) >= count
