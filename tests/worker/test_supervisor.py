"""A worker process that dies is replaced; one that ends on purpose ends its supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests.waiting import eventually

# The supervisor of each test runs in a process of its own: it handles signals.
SUPERVISOR = """
import sys
from headrace.telemetry.logs import configure_logs
from headrace.worker.supervisor import Supervisor
from headrace.worker.timing import Timing
configure_logs()
sys.exit(Supervisor([sys.executable, *sys.argv[1:]], Timing().scaled(1 / 20)).run())
"""

# Each worker adds its number to the journal; what it does then is its script's word of that turn.
WORKER = """
import os, signal, subprocess, sys, time
from datetime import timedelta
from pathlib import Path
from headrace.worker.lifeline import Lifeline

journal, *script = sys.argv[1:]
line = Lifeline.from_environment()
assert line is not None and Lifeline.from_environment() is None

def note(word):
    with open(journal, "a") as file:
        file.write(f"{os.getpid()} {word}\\n")

turn = len([entry for entry in Path(journal).read_text().splitlines() if entry.endswith("start")])
word = script[min(turn, len(script) - 1)]
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append("term"))
signal.signal(signal.SIGINT, lambda *_: asked.append("int"))
line.end_with_parent(timedelta(seconds=5))
note("start")
if word == "refuse":
    sys.exit(1)
line.say_ready()
if word == "finish":
    line.say_ended()
    sys.exit(0)
if word == "exit0":
    os._exit(0)
if word == "stall":
    os._exit(70)
if word == "crash":
    os.kill(os.getpid(), signal.SIGKILL)
if word == "orphan":
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    note(f"child {child.pid}")
    os._exit(3)
note("works")
stubborn, wanted = word == "stubborn", 2 if word == "both" else 1
while len(asked) < wanted or stubborn:
    time.sleep(0.01)
if word != "both":
    time.sleep(0.2)
note(" ".join(["asked", *asked]))
line.say_ended()
sys.exit(5 if word == "five" else 0)
"""


class Supervised:
    """A supervisor, what its workers wrote, and what it told."""

    def __init__(self, folder: Path, *script: str) -> None:
        self.journal = folder / "journal"
        self.journal.touch()
        self.process = subprocess.Popen(
            [sys.executable, "-c", SUPERVISOR, "-c", WORKER, str(self.journal), *script],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def words(self) -> list[str]:
        return [line.partition(" ")[2] for line in self.journal.read_text().splitlines()]

    def workers(self) -> list[int]:
        lines = self.journal.read_text().splitlines()
        return [int(line.split()[0]) for line in lines if line.endswith("start")]

    async def works(self) -> None:
        await eventually(lambda: "works" in self.words(), within=30)

    async def end(self) -> int:
        return await asyncio.to_thread(self.process.wait, 15)

    def told(self) -> list[dict[str, Any]]:
        assert self.process.stdout is not None
        return [json.loads(line) for line in self.process.stdout.read().splitlines()]

    def close(self) -> None:
        for process in (self.process.pid, *self.workers()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self.process.communicate()


Start: TypeAlias = Callable[..., Supervised]
"""Starts a supervisor of workers that do what the words say, the last word again and again."""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Supervised] = []

    def begin(*script: str) -> Supervised:
        started.append(Supervised(tmp_path, *script))
        return started[-1]

    yield begin
    for supervised in started:
        supervised.close()


def is_running(process: int) -> bool:
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


class TestEnds:
    async def test_a_worker_that_finishes_ends_its_supervisor(self, start: Start) -> None:
        supervised = start("finish")
        assert await supervised.end() == 0
        assert supervised.words() == ["start"]

    async def test_a_worker_that_cannot_start_ends_it_with_its_code(self, start: Start) -> None:
        supervised = start("refuse")
        assert await supervised.end() == 1
        assert supervised.words() == ["start"]


class TestCrashes:
    @pytest.mark.parametrize(
        ("death", "code", "number"),
        [("crash", None, "SIGKILL"), ("stall", 70, None), ("exit0", 0, None)],
    )
    async def test_a_worker_that_died_is_replaced_and_that_is_told(
        self, start: Start, death: str, code: int | None, number: str | None
    ) -> None:
        supervised = start(death, "finish")
        assert await supervised.end() == 0
        assert supervised.words() == ["start", "start"]
        (crash,) = [line for line in supervised.told() if line["event"] == "worker_crashed"]
        assert (crash.get("exit_code"), crash.get("signal")) == (code, number)
        assert crash["pid"] == supervised.workers()[0]

    async def test_a_start_that_fails_after_a_crash_is_tried_again(self, start: Start) -> None:
        supervised = start("crash", "refuse", "finish")
        assert await supervised.end() == 0
        assert len(supervised.workers()) == 3

    async def test_what_a_dead_worker_started_dies_with_it(self, start: Start) -> None:
        supervised = start("orphan", "finish")
        assert await supervised.end() == 0
        (child,) = [int(word.split()[1]) for word in supervised.words() if word.startswith("child")]
        await eventually(lambda: not is_running(child))


class TestSignals:
    @pytest.mark.parametrize(
        ("number", "word"), [(signal.SIGTERM, "asked term"), (signal.SIGINT, "asked int")]
    )
    async def test_a_signal_is_passed_on_and_the_workers_code_is_kept(
        self, start: Start, number: signal.Signals, word: str
    ) -> None:
        supervised = start("five")
        await supervised.works()
        supervised.process.send_signal(number)
        assert await supervised.end() == 5
        assert supervised.words()[-1] == word

    async def test_ctrl_c_reaches_the_worker_once(self, start: Start) -> None:
        supervised = start("work")
        await supervised.works()
        os.killpg(supervised.process.pid, signal.SIGINT)  # as a terminal does
        assert await supervised.end() == 0
        assert supervised.words()[-1] == "asked int"

    async def test_a_second_signal_is_passed_on_too(self, start: Start) -> None:
        supervised = start("both")
        await supervised.works()
        supervised.process.send_signal(signal.SIGTERM)
        supervised.process.send_signal(signal.SIGINT)
        assert await supervised.end() == 0
        assert sorted(supervised.words()[-1].split()) == ["asked", "int", "term"]

    async def test_a_worker_that_heeds_no_second_signal_is_killed(self, start: Start) -> None:
        supervised = start("stubborn")
        await supervised.works()
        supervised.process.send_signal(signal.SIGTERM)
        supervised.process.send_signal(signal.SIGINT)
        assert await supervised.end() == 128 + signal.SIGKILL

    async def test_a_signal_ends_the_wait_before_a_restart(self, start: Start) -> None:
        supervised = start(*["crash"] * 50)
        await eventually(lambda: len(supervised.workers()) >= 4)
        supervised.process.send_signal(signal.SIGTERM)
        assert await supervised.end() in {0, 128 + signal.SIGTERM, 128 + signal.SIGKILL}


class TestParent:
    async def test_a_worker_whose_supervisor_was_killed_ends_in_good_order(
        self, start: Start
    ) -> None:
        supervised = start("work")
        await supervised.works()
        (worker,) = supervised.workers()
        supervised.process.kill()
        await eventually(lambda: not is_running(worker))
        assert supervised.words()[-1] == "asked term"

    async def test_one_that_does_not_end_is_ended(self, start: Start) -> None:
        supervised = start("stubborn")
        await supervised.works()
        (worker,) = supervised.workers()
        supervised.process.kill()
        await eventually(lambda: not is_running(worker), within=15)
