"""What a worker's jobs see of the ledger's troubles."""

import asyncio

from headrace import JobState, Pipeline, Retry
from headrace.testing import Engine
from tests.engine.conftest import MakeEngine
from tests.engine.entries import group
from tests.engine.wire import wire_to
from tests.waiting import eventually


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
                await engine.run_until_empty(timeout=40)
            assert [await job.result() for job in jobs[-3:]] == [997, 998, 999]


async def has_claimed(engine: Engine, count: int) -> bool:
    return len(await engine.jobs(state="running")) >= count
