"""Where step processes come from, and what is left of them and of what they started: nothing."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic

import pytest

from headrace.telemetry.events import Event, add_sink
from headrace.telemetry.step_events import StepLeftovers
from tests.worker.process_app import Order
from tests.worker.process_bench import Bench, done, file_at, is_gone, open_bench
from tests.worker.process_threaded_app import threaded

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="traces are found on Linux")

SCRIPT = Path(__file__).with_name("process_script.py")


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with open_bench() as opened:
        yield opened


def environment() -> dict[str, str]:
    """That of a program which finds what this one finds."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


class TestImports:
    async def test_an_app_whose_import_starts_threads_is_imported_by_each_process(self):
        async with open_bench(pipelines=[threaded]) as bench:
            text = done(await bench.outcome("count", Order(amount=5)))
        amount, pid, threads = threaded.steps["count"].output.decode(text)
        assert amount == 5
        assert pid != os.getpid()
        assert threads == 3  # its own, the app's, and the reader of the line

    async def test_a_step_of_the_main_script_is_found(self):
        worker = await asyncio.create_subprocess_exec(
            sys.executable, str(SCRIPT), env=environment(), stdout=asyncio.subprocess.PIPE
        )
        output, _ = await worker.communicate()
        assert output.startswith(b"Done(")

    async def test_an_app_is_found_by_its_reference(self):
        async with open_bench(app="tests.worker.process_app:steps") as bench:
            done(await bench.outcome("typed"))


class TestTraces:
    @pytest.mark.parametrize("word", ["program", "thread"])
    async def test_what_a_step_leaves_behind_ends_and_is_told(self, bench: Bench, word: str):
        told: list[Event] = []
        remove = add_sink(told.append)
        pid = int(done(await bench.outcome("leaves", Order(word=word))))
        remove()
        assert is_gone(pid)
        (event,) = told
        assert isinstance(event, StepLeftovers)
        assert (event.threads, event.processes) == ((1, 0) if word == "thread" else (0, 1))

    async def test_programs_of_a_killed_step_end_with_it(self, bench: Bench, tmp_path: Path):
        attempt = bench.attempt("spawns", Order(place=str(tmp_path)))
        task = bench.start(attempt)
        pids = (await file_at(tmp_path / "pids")).split()
        attempt.cancel("cancel", monotonic())
        with pytest.raises(asyncio.CancelledError):
            await task
        assert all(is_gone(int(pid)) for pid in pids)

    async def test_everything_dies_with_a_worker_that_is_killed(self, tmp_path: Path):
        script = (
            "import asyncio, sys\n"
            "from tests.worker.process_app import Order\n"
            "from tests.worker.process_bench import open_bench\n"
            "async def main():\n"
            "    async with open_bench() as bench:\n"
            "        await bench.outcome('spawns', Order(place=sys.argv[1]))\n"
            "asyncio.run(main())\n"
        )
        worker = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, str(tmp_path), env=environment()
        )
        try:
            pids = (await file_at(tmp_path / "pids")).split()
        finally:
            worker.kill()
            await worker.wait()
        assert all(is_gone(int(pid)) for pid in pids)
