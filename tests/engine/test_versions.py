"""Code that changes while jobs are under way."""

import asyncio
from dataclasses import dataclass
from typing import Any

from headrace import Each, JobHandle, JobState, Pipeline, Retry, StepContext
from headrace.telemetry.job_events import VersionAudit
from headrace.testing import Engine
from tests.engine.conftest import MakeEngine
from tests.listening import listening
from tests.waiting import eventually

LATER = Retry(attempts=5, first=60, factor=1, jitter=0)


def made(version: str) -> Pipeline[int, str]:
    """Two steps; the second fails at its first try, so that a deployment finds a job half done."""
    pipe = Pipeline("report", version=version, input=int, output=str)

    @pipe.step
    async def first(number: int) -> int:
        return number

    @pipe.step(retry=LATER)
    async def second(first: int, ctx: StepContext) -> str:
        if ctx.attempt == 1:
            raise RuntimeError
        return f"{version}: {first}"

    return pipe


async def half_done(engine: Engine, pipe: Pipeline[int, Any]) -> JobHandle[Any]:
    """A job of `pipe` whose first step is stored, and that waits in its queue."""
    async with engine.app_with([pipe]) as app, engine.worker(app=app):
        job = await app.submit(pipe, 7)
        await eventually(lambda: engine.tries(job))
        await eventually(lambda: is_in(engine, job, JobState.QUEUED))
    return engine.app.job(job.id)


async def is_in(engine: Engine, job: JobHandle[Any], state: JobState) -> bool:
    return (await engine.job(job)).state is state


async def finish(engine: Engine, pipe: Pipeline[int, Any]) -> None:
    """Deploy `pipe`, and run until nothing is left."""
    async with engine.app_with([pipe]) as app, engine.worker(app=app):
        await engine.run_until_empty(skip_waits=True)


class TestOlderJobs:
    async def test_a_worker_adopts_one_and_the_history_says_so(self, make_engine: MakeEngine):
        async with make_engine([made("1.2.0")]) as engine:
            job = await half_done(engine, made("1.1.9"))
            with listening() as told:
                await finish(engine, made("1.2.0"))
            assert await job.result() == "1.2.0: 7"
            reasons = [event.reason for event in await engine.events(job)]
            assert reasons == ["submitted", "claimed", "retry", "adopted", "completed"]
            [audit] = told.of(VersionAudit)
            assert (audit.version, audit.worker_version) == ("1.1.9", "1.2.0")
            row = await engine.job(job)
            assert row.version == "1.1.9", "the version with which it was submitted"
            assert [step.step for step in await engine.steps(job)] == ["first", "second"]

    async def test_versions_are_numbers_not_texts(self, make_engine: MakeEngine):
        async with make_engine([made("1.10.0")]) as engine:
            job = await half_done(engine, made("1.9.0"))
            await finish(engine, made("1.10.0"))
            assert await job.result() == "1.10.0: 7"


class TestNewerJobs:
    async def test_an_old_worker_leaves_one_alone(self, make_engine: MakeEngine):
        old = made("1.0.0")
        async with make_engine([made("2.0.0")]) as engine:
            job = await half_done(engine, made("2.0.0"))
            before = await engine.events(job)
            async with engine.app_with([old]) as app, engine.worker(app=app):
                await engine.move_clock(LATER.delay(1, lambda: 1.0) * 2)
                other = await app.submit(old, 8)
                await eventually(lambda: engine.tries(other))
                await eventually(lambda: is_in(engine, other, JobState.QUEUED))
                assert await engine.events(job) == before
                assert await is_in(engine, job, JobState.QUEUED)
            await finish(engine, made("2.0.0"))
            assert await job.result() == "2.0.0: 7"

    async def test_a_pipeline_that_a_worker_does_not_carry_is_left_alone(
        self, make_engine: MakeEngine
    ):
        other = Pipeline("other", input=int, output=int)

        @other.step
        async def work(number: int) -> int:
            return number

        report = made("1.0.0")
        async with make_engine([report, other]) as engine:
            left = await engine.submit(report, 1)
            async with engine.app_with([other]) as app, engine.worker(app=app):
                assert await (await app.submit(other, 2)).result(timeout=5) == 2
            assert len(await engine.events(left)) == 1


@dataclass
class Old:
    """What the first version stored."""

    name: str


@dataclass
class New:
    """What the second version thinks was stored."""

    title: str


def reporting(version: str, kind: type, ran: list[str]) -> Pipeline[int, str]:
    pipe = Pipeline("report", version=version, input=int, output=str)

    @pipe.step
    async def first(number: int) -> kind:
        return kind(f"{number}")

    @pipe.step(retry=LATER)
    async def second(first: kind, ctx: StepContext) -> str:
        ran.append(version)
        if ctx.attempt == 1:
            raise RuntimeError
        return str(first)

    return pipe


class TestOutputsThatNoLongerFit:
    async def test_the_job_is_parked_with_the_reason_and_goes_on_with_code_that_fits(
        self, make_engine: MakeEngine
    ):
        ran: list[str] = []
        fits, does_not = reporting("1.0.0", Old, ran), reporting("1.1.0", New, ran)
        async with make_engine([fits]) as engine:
            job = await half_done(engine, fits)
            async with engine.app_with([does_not]) as app, engine.worker(app=app):
                await engine.move_clock(LATER.delay(1, lambda: 1.0) * 2)
                row = await eventually(lambda: parked(engine, job))
                assert row.error is not None
                assert row.error["code"] == "CHECKPOINT_UNREADABLE"
                assert "second" in row.error["message"]
                assert "title" in row.error["message"]
            assert len(await engine.tries(job)) == 1, "it costs no attempt"
            await finish(engine, reporting("1.2.0", Old, ran))
            assert await job.result() == "Old(name='7')"
            assert (await engine.job(job)).error is None
        assert ran == ["1.0.0", "1.2.0"]

    async def test_a_parked_job_takes_no_slot_and_is_not_asked_for_again_and_again(
        self, make_engine: MakeEngine
    ):
        ran: list[str] = []
        fits, does_not = reporting("1.0.0", Old, ran), reporting("1.1.0", New, ran)
        async with make_engine([fits]) as engine:
            job = await half_done(engine, fits)
            async with (
                engine.app_with([does_not]) as app,
                engine.worker(app=app, concurrency=1) as worker,
            ):
                await engine.move_clock(LATER.delay(1, lambda: 1.0) * 2)
                await eventually(lambda: parked(engine, job))
                before = await engine.events(job)
                other = await app.submit(does_not, 8)
                await eventually(lambda: engine.tries(other))
                assert await engine.events(job) == before
                assert worker.is_running


async def parked(engine: Engine, job: JobHandle[Any]) -> Any:  # noqa: ANN401
    row = await engine.job(job)
    return row if (row.state, row.wait_reason) == (JobState.QUEUED, "unclaimable") else None


class TestRenamedSteps:
    async def test_was_finds_the_output_under_the_old_name(self, make_engine: MakeEngine):
        ran: list[str] = []
        renamed = Pipeline("report", version="1.1.0", input=int, output=str)

        @renamed.step(was="first")
        async def begin(number: int) -> int:
            ran.append("begin")
            return -number

        @renamed.step(was=("second", "zweiter"))
        async def end(begin: int) -> str:
            return f"end {begin}"

        async with make_engine([renamed]) as engine:
            job = await half_done(engine, made("1.0.0"))
            await finish(engine, renamed)
            assert await job.result() == "end 7"
            status = await job.status()
            assert [(step.name, step.state) for step in status.steps] == [
                ("begin", "completed"),
                ("end", "completed"),
            ]
        assert ran == []

    async def test_without_it_the_step_is_a_new_one(self, make_engine: MakeEngine):
        ran: list[str] = []
        renamed = Pipeline("report", version="1.1.0", input=int, output=str)

        @renamed.step
        async def begin(number: int) -> int:
            ran.append("begin")
            return -number

        @renamed.step
        async def end(begin: int) -> str:
            return f"end {begin}"

        async with make_engine([renamed]) as engine:
            job = await half_done(engine, made("1.0.0"))
            await finish(engine, renamed)
            assert await job.result() == "end -7"
        assert ran == ["begin"]

    async def test_a_fan_out_keeps_its_items_and_what_is_done_of_them(
        self, make_engine: MakeEngine
    ):
        runs: list[str] = []

        def spread(
            version: str, name: str, items: tuple[str, ...], was: tuple[str, ...]
        ) -> Pipeline[int, list[str]]:
            pipe = Pipeline("report", version=version, input=int, output=list[str])

            @pipe.step(name=name, was=was, retry=LATER)
            async def work(number: int, ctx: StepContext, item: str = Each(items, key=str)) -> str:
                runs.append(f"{version} {item}")
                if item == "b" and ctx.attempt == 1:
                    raise RuntimeError
                return f"{item}{number}"

            return pipe

        old = spread("1.0.0", "work", ("a", "b"), ())
        new = spread("1.1.0", "labour", ("a", "b", "c"), ("work",))
        async with make_engine([new]) as engine:
            job = await half_done(engine, old)
            await finish(engine, new)
            assert await job.result() == ["a7", "b7"]
        assert sorted(runs) == ["1.0.0 a", "1.0.0 b", "1.1.0 b"]

    async def test_its_records_and_its_tries_are_found_too(self, make_engine: MakeEngine):
        paid: list[int] = []
        attempts: list[int] = []

        async def pay(number: int) -> int:
            paid.append(number)
            return number

        def paying(version: str, name: str, was: tuple[str, ...]) -> Pipeline[int, int]:
            pipe = Pipeline("report", version=version, input=int, output=int)

            @pipe.step(name=name, was=was, retry=LATER)
            async def work(number: int, ctx: StepContext) -> int:
                attempts.append(ctx.attempt)
                await ctx.once("payment", pay, number)
                if version == "1.0.0":
                    raise RuntimeError
                return number

            return pipe

        new = paying("1.1.0", "labour", ("work",))
        async with make_engine([new]) as engine:
            job = await half_done(engine, paying("1.0.0", "work", ()))
            await finish(engine, new)
            assert await job.result() == 7
        assert paid == [7]
        assert attempts == [1, 2]

    async def test_items_under_both_names_are_found_after_the_next_crash(
        self, make_engine: MakeEngine
    ):
        async with make_engine([renamed_half_way]) as engine:
            async with (
                engine.app_with([before_the_renaming]) as app,
                engine.worker(app=app),
            ):
                job = await app.submit(before_the_renaming, 7)
                await eventually(lambda: engine.tries(job))
                await eventually(lambda: is_in(engine, job, JobState.QUEUED))
            await engine.move_clock(LATER.delay(1, lambda: 1.0) * 2)
            await engine.crash_at(
                "ledger.checkpoint.after_commit", app=f"{__name__}:renamed_half_way"
            )
            before = {(row.step, row.item): row.token for row in await engine.steps(job)}
            assert {("work", "a"), ("labour", "b")} <= set(before)
            await finish(engine, renamed_half_way)
            assert await engine.app.job(job.id).result() == ["a7", "b7", "c7"]
            after = {(row.step, row.item): row.token for row in await engine.steps(job)}
            assert after == {**after, **before}
            assert len(after) == 4
            [step] = (await engine.app.job(job.id).status()).steps
            assert step.items is not None
            assert [item.state for item in step.items] == ["completed"] * 3


class TestChangedGraphs:
    async def test_a_step_that_is_new_runs_and_one_that_is_gone_is_not_missed(
        self, make_engine: MakeEngine
    ):
        changed = Pipeline("report", version="1.1.0", input=int, output=str)

        @changed.step
        async def extra(number: int) -> int:
            return number * 100

        @changed.step
        async def second(extra: int) -> str:
            return f"from extra {extra}"

        async with make_engine([changed]) as engine:
            job = await half_done(engine, made("1.0.0"))
            await finish(engine, changed)
            assert await job.result() == "from extra 700"
            assert [row.step for row in await engine.steps(job)] == ["first", "extra", "second"]


before_the_renaming = Pipeline("report", version="1.0.0", input=int, output=list[str])


@before_the_renaming.step(retry=LATER, parallel=1)
async def work(number: int, ctx: StepContext, item: str = Each(("a", "b", "c"), key=str)) -> str:
    if item != "a" and ctx.attempt == 1:
        raise RuntimeError
    return f"{item}{number}"


renamed_half_way = Pipeline("report", version="1.1.0", input=int, output=list[str])


@renamed_half_way.step(was="work", parallel=1)
async def labour(number: int, item: str = Each(("a", "b", "c"), key=str)) -> str:
    if item == "c":
        await asyncio.sleep(0.2)  # so that it does not go into the group of its neighbour
    return f"{item}{number}"
