"""Steps in processes of their own: what crosses, what limits them, what they leave behind."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic

import pytest
import pytest_asyncio

from headrace.model.pipeline import Pipeline
from headrace.worker.outcomes import Cancelled, Deferred, Done, Parked, Skipped
from headrace.worker.processes import StepProcesses
from tests.waiting import eventually
from tests.worker.process_app import Order, Receipt, steps
from tests.worker.process_bench import (
    TIMING,
    Bench,
    done,
    failed,
    file_at,
    is_gone,
    open_bench,
    parent_of,
)

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(sys.platform != "linux", reason="limits and traces are Linux's"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def processes() -> AsyncIterator[StepProcesses]:
    async with open_bench() as opened:
        yield opened.processes


@pytest.fixture
def bench(processes: StepProcesses) -> Bench:
    """A fresh engine at processes that are warm: what one test did must not matter to the next."""
    return Bench(processes)


class TestValues:
    async def test_a_typed_value_comes_back_from_another_process(self, bench: Bench):
        text = done(await bench.outcome("typed", Order(word="a", amount=2)))
        receipt: Receipt = steps.steps["typed"].output.decode(text)
        assert receipt.words == ["a", "2"]
        assert receipt.pid != os.getpid()

    async def test_the_output_of_an_earlier_step_is_read_in_the_process(self, bench: Bench):
        attempt = bench.attempt("second", Order(), {"typed": '{"pid":1,"words":["x","y"]}'})
        assert await bench.run(attempt) == Done('"x y"')

    async def test_a_stored_value_that_does_not_fit_parks_the_job(self, bench: Bench):
        attempt = bench.attempt("second", Order(), {"typed": '{"pid":"no"}'})
        outcome = await bench.run(attempt)
        assert isinstance(outcome, Parked)
        assert "parameter typed" in outcome.reason

    async def test_an_output_of_another_type_is_a_permanent_failure(self, bench: Bench):
        outcome = failed(await bench.outcome("wrong_type", Order(word="x")))
        assert (outcome.code, outcome.retried) == ("VALIDATION_ERROR", False)

    async def test_what_cannot_be_pickled_stays_where_it_is(self, bench: Bench):
        assert await bench.outcome("unpicklable") == Done('"Unpicklable"')
        outcome = failed(await bench.outcome("unpicklable", Order(word="raise")))
        assert "Unpicklable object" in outcome.message

    async def test_twenty_megabytes_cross(self, bench: Bench):
        text = done(await bench.outcome("huge", Order(amount=20_000_000)))
        assert len(text) == 20_000_002

    async def test_a_process_is_kept_warm(self, bench: Bench):
        pids = {
            steps.steps["typed"].output.decode(done(await bench.outcome("typed"))).pid
            for _ in range(3)
        }
        assert len(pids) == 1

    async def test_no_more_processes_run_than_allowed(self, bench: Bench):
        outcomes = await asyncio.gather(*(bench.outcome("typed") for _ in range(6)))
        pids = {steps.steps["typed"].output.decode(done(outcome)).pid for outcome in outcomes}
        assert len(pids) <= 2


class TestExceptions:
    @pytest.mark.parametrize(
        ("word", "kind", "code", "retried"),
        [
            ("permanent", "permanent", "PERMANENT_ERROR", False),
            ("user", "user", "USER_ERROR", False),
            ("unless", "permanent", "KeyError", False),
            ("connection", "transient", "ConnectionResetError", True),
            ("exit", "unknown", "SystemExit", True),
            ("else", "unknown", "RuntimeError", True),
            ("odd", "unknown", "ExceptionGroup", True),
            ("nameless", "unknown", "NamelessError", True),
        ],
    )
    async def test_a_failure_is_what_it_is_in_a_thread(
        self, bench: Bench, word: str, kind: str, code: str, *, retried: bool
    ):
        outcome = failed(await bench.outcome("raises", Order(word=word)))
        assert (outcome.kind, outcome.code, outcome.retried) == (kind, code, retried)

    async def test_the_traceback_names_the_line_of_the_step(self, bench: Bench):
        outcome = failed(await bench.outcome("raises", Order(word="else")))
        assert 'process_app.py", line' in (outcome.detail or "")
        assert (outcome.detail or "").endswith("RuntimeError: broken\n")

    async def test_steering_crosses(self, bench: Bench):
        found = [
            await bench.outcome("raises", Order(word=word)) for word in ("later", "skip", "cancel")
        ]
        assert found == [Deferred(7.0, "busy"), Skipped("not needed"), Cancelled("enough")]


class TestLimits:
    async def test_a_step_that_ignores_its_cancel_is_killed(self, bench: Bench, tmp_path: Path):
        attempt = bench.attempt("endless", Order(place=str(tmp_path)))
        task = bench.start(attempt)
        pid = int(await file_at(tmp_path / "started"))
        begun = monotonic()
        attempt.cancel("timeout", begun)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert monotonic() - begun < TIMING.cancel_kill.total_seconds()
        assert is_gone(pid, 0)

    async def test_a_step_that_stops_when_told_keeps_its_result(self, bench: Bench, tmp_path: Path):
        attempt = bench.attempt("obedient", Order(place=str(tmp_path)))
        task = bench.start(attempt)
        await file_at(tmp_path / "started")
        attempt.cancel("shutdown", monotonic())
        assert await task == Done('"stopped when it was told"')

    async def test_a_step_of_a_job_that_was_lost_ends_at_once(self, bench: Bench, tmp_path: Path):
        attempt = bench.attempt("endless", Order(place=str(tmp_path)))
        task = bench.start(attempt)
        pid = int(await file_at(tmp_path / "started"))
        attempt.run.dead = True
        begun = monotonic()
        attempt.cancel("stale", begun)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert monotonic() - begun < TIMING.cancel_kill.total_seconds() / 2
        assert is_gone(pid, 0)

    async def test_a_task_that_nobody_cancelled_by_name_ends_at_once(
        self, bench: Bench, tmp_path: Path
    ):
        task = bench.start(bench.attempt("obedient", Order(place=str(tmp_path))))
        await file_at(tmp_path / "started")
        begun = monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert monotonic() - begun < TIMING.cancel_kill.total_seconds() / 2

    async def test_the_time_of_an_attempt_begins_when_a_process_is_there(self, bench: Bench):
        attempt = bench.attempt("endless", Order())
        begun = attempt.started
        attempt.step = steps.steps["typed"]
        done(await bench.run(attempt))
        assert attempt.started > begun
        assert attempt.deadline - attempt.started == pytest.approx(0.3)

    async def test_a_memory_limit_stops_one_attempt_and_no_neighbour(
        self, bench: Bench, tmp_path: Path
    ):
        neighbour = bench.attempt("obedient", Order(place=str(tmp_path)))
        task = bench.start(neighbour)
        await file_at(tmp_path / "started")
        outcome = failed(await bench.outcome("hog", Order(amount=500)))
        assert (outcome.code, outcome.retried) == ("MEMORY_LIMIT", True)
        assert "64 MiB" in outcome.message
        assert await bench.outcome("hog", Order(amount=20)) == Done(str(20 << 20))
        neighbour.cancel("shutdown", monotonic())
        assert isinstance(await task, Done)

    async def test_code_that_dies_for_want_of_memory_is_said_to_have(self, bench: Bench):
        outcome = failed(await bench.outcome("careless", Order(amount=500)))
        assert outcome.code == "MEMORY_LIMIT"
        assert "SIGSEGV" in outcome.message

    async def test_the_process_of_a_hog_is_replaced(self, bench: Bench):
        first = steps.steps["typed"].output.decode(done(await bench.outcome("typed"))).pid
        await bench.outcome("hog", Order(amount=500))
        assert is_gone(first)


class TestDeaths:
    @pytest.mark.parametrize(
        ("order", "text"),
        [
            (Order(amount=3), "ended with exit code 3"),
            (Order(amount=0), "ended with exit code 0"),
            (Order(word="segfault"), "was killed by SIGSEGV"),
            (Order(word="kill"), "was killed by SIGKILL"),
            (Order(word="deaf"), "was"),
        ],
    )
    async def test_a_death_is_a_failed_try_that_says_how(
        self, bench: Bench, order: Order, text: str
    ):
        outcome = failed(await bench.outcome("dies", order))
        assert (outcome.code, outcome.retried) == ("PROCESS_DIED", True)
        assert text in outcome.message
        done(await bench.outcome("typed"))

    async def test_the_end_of_all_processes_is_survived(self):
        async with open_bench() as bench:
            receipt = steps.steps["typed"].output.decode(done(await bench.outcome("typed")))
            os.kill(parent_of(receipt.pid), signal.SIGKILL)
            await asyncio.wait([process.ended for process in bench.processes._idle])
            assert is_gone(receipt.pid)
            done(await bench.outcome("typed"))

    async def test_an_app_that_cannot_be_imported_is_a_failed_try(self):
        async with open_bench(app="tests.worker.nowhere:app") as bench:
            outcome = failed(await bench.outcome("typed"))
        assert outcome.code == "PROCESS_START"
        assert "No module named 'tests.worker.nowhere'" in outcome.message

    async def test_another_definition_than_the_worker_s_is_refused(self):
        changed = Pipeline("steps", input=Order, output=int)
        changed.step(runs_in="process", name="typed")(steps.steps["dies"].function)
        async with open_bench(pipelines=[changed]) as bench:
            outcome = failed(await bench.outcome("typed"))
        assert outcome.code == "STEP_PROCESS_MISMATCH"


class TestContext:
    async def test_once_runs_once(self, bench: Bench, tmp_path: Path):
        attempt = bench.attempt("recorded", Order(place=str(tmp_path), amount=4))
        assert await bench.run(attempt) == Done("8")
        assert [(row.name, row.output) for row in bench.engine.records] == [("expensive", "8")]
        again = bench.attempt("recorded", Order(place=str(tmp_path), amount=5))
        again.run.keep_record(("recorded", "", "expensive"), "8")
        assert await bench.run(again) == Done("8")
        assert (tmp_path / "expensive").read_text() == "x"

    async def test_a_refusal_of_the_worker_is_raised_in_the_step(self, bench: Bench):
        outcome = failed(await bench.outcome("twice"))
        assert outcome.code == "DEFINITION_ERROR"
        assert "ONCE_NAME_TAKEN" in outcome.message

    async def test_facts_progress_and_log_pass_through(
        self, bench: Bench, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ):
        attempt = bench.attempt("reports", Order(place=str(tmp_path), word="secret"))
        with caplog.at_level(logging.INFO):
            task = bench.start(attempt)
            await file_at(tmp_path / "started")
            await eventually(lambda: attempt.note)
            (tmp_path / "seen").touch()
            facts = steps.steps["reports"].output.decode(done(await task))
        assert attempt.note == (1, 3, "begun")
        job = str(attempt.run.claim.job)
        assert facts[:8] == [job, "2", "3", "None", "acme", "ann", "None", "{'depth': 3}"]
        assert facts[9] == "True"
        assert "half done" in caplog.text
        assert "secret" not in caplog.text

    async def test_a_job_is_submitted_by_the_worker(self, bench: Bench):
        assert await bench.outcome("submits", Order(amount=9)) == Done('"a-job"')
        (job,) = bench.engine.submitted
        assert (job["pipeline"], job["value"], job["priority"]) == ("other", Order(amount=9), 7)
        assert job["idempotency_key"].endswith(":child")

    async def test_a_pipeline_that_the_worker_does_not_carry_is_refused(self, bench: Bench):
        outcome = failed(await bench.outcome("submits_unknown"))
        assert outcome.code == "PipelineNotFoundError"


class TestClients:
    async def test_a_client_is_opened_once_in_its_process(self, bench: Bench):
        first = steps.steps["uses"].output.decode(done(await bench.outcome("uses")))
        second = steps.steps["uses"].output.decode(done(await bench.outcome("uses")))
        assert first[0] == second[0] == second[2] != os.getpid()
        assert (first[1], second[1]) == (1, 2)

    async def test_close_closes_the_clients_and_ends_all(self, tmp_path: Path):
        os.environ["PROCESS_APP_PLACE"] = str(tmp_path)
        try:
            async with open_bench() as bench:
                text = done(await bench.outcome("uses"))
                begun = monotonic()
        finally:
            del os.environ["PROCESS_APP_PLACE"]
        assert monotonic() - begun < 2
        pid = steps.steps["uses"].output.decode(text)[0]
        assert is_gone(pid, 0)
        assert (tmp_path / f"closed-{pid}").exists()
