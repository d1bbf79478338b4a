"""What a measured subject and the harness say to each other.

A subject is a module that ends with `main(SomeAdapter())`. The harness runs it in the subject's own
environment, where only the standard library is sure to be there:

    setup                          install the schema (once, into a template database)
    submit KIND FIRST COUNT BATCH  submit jobs FIRST .. FIRST+COUNT-1 of KIND, BATCH in a call
    submit1 KIND FIRST COUNT GAP   one awaited submission after the other, GAP ms apart
    worker KIND                    run one worker until killed

A command prints one JSON line. A worker reports through an append-only file of lines
`WORD JOB-OR-COUNT TIME PID`; every time is CLOCK_MONOTONIC, one clock for all of a machine.
"""

import asyncio
import json
import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

PAD: Final = "x" * 170
"""Makes an input about 200 bytes of JSON: an id, a path and some parameters."""

STEPS: Final = 5
"""Durable steps of a job of kind `steps`."""

MARK_EVERY: Final = 1_000
"""Starts between two marks: a rate over any window, for one write in a thousand starts."""

SLEEP_S: Final = float(os.environ.get("BENCH_SLEEP_S", "2"))
"""How long a job of kind `sleep` runs: long enough for its worker to be killed in the middle."""

SOON_S: Final = 170
"""Seconds until jobs of kind `soon` are due: within three minutes, but after the drain."""

LATER_S: Final = 3_600
"""Seconds until jobs of kind `later` are due."""

HIGH_PRIORITY: Final = 9
"""Priority of jobs of kind `soon`, on headrace's scale from 0 to 9."""

NORMAL_PRIORITY: Final = 5
"""Priority of all other jobs."""

now = time.monotonic


def payload(number: int) -> dict[str, object]:
    """The input of job `number`, the same for every subject."""
    return {"i": number, "pad": PAD}


class Recorder:
    """Writes what a worker does into the event file named by BENCH_EVENTS.

    Counts starts and writes a mark for the first, every thousandth and the last expected one
    (BENCH_TARGET). With BENCH_TRACE=1 it writes each start and each end instead.
    """

    def __init__(self) -> None:
        self._path = os.environ.get("BENCH_EVENTS", os.devnull)
        self._target = int(os.environ.get("BENCH_TARGET", "0"))
        self._trace = os.environ.get("BENCH_TRACE") == "1"
        self._count = 0
        self._file = -1

    def start(self, number: int) -> None:
        """Say that the handler of job `number`, or one of its steps, was entered."""
        if self._trace:
            self._write("start", number)
            return
        self._count += 1
        if self._count == 1 or self._count % MARK_EVERY == 0 or self._count == self._target:
            self._write("mark", self._count)

    def end(self, number: int) -> None:
        """Say that the handler of job `number` is about to return (traced runs only)."""
        if self._trace:
            self._write("end", number)

    def _write(self, word: str, number: int) -> None:
        if self._file < 0:
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(self._file, f"{word} {number} {now()} {os.getpid()}\n".encode())


class Adapter(ABC):
    """One subject's answers to the commands."""

    def __init__(self) -> None:
        self.dsn = os.environ.get("BENCH_DSN", "")
        self.recorder = Recorder()

    @abstractmethod
    async def setup(self) -> None:
        """Install the subject's schema into an empty database."""

    @abstractmethod
    async def open(self) -> None:
        """Connect, so that submissions are timed without it."""

    @abstractmethod
    async def close(self) -> None:
        """Undo `open`."""

    @abstractmethod
    async def many(self, kind: str, numbers: range) -> None:
        """Submit these jobs in one call; durable when it returns."""

    @abstractmethod
    async def one(self, kind: str, number: int) -> None:
        """Submit one job; durable when it returns."""

    async def work(self, kind: str) -> None:
        """Run one worker for ever; subjects with a command of their own leave this out."""
        raise NotImplementedError(kind)


async def submit(adapter: Adapter, kind: str, numbers: range, batch: int) -> dict[str, object]:
    """Submit in batches and tell how long that took, connecting left out."""
    await adapter.open()
    begin = now()
    for low in range(numbers.start, numbers.stop, batch):
        await adapter.many(kind, range(low, min(numbers.stop, low + batch)))
    elapsed = now() - begin
    await adapter.close()
    return {"elapsed": elapsed}


async def submit_one_by_one(
    adapter: Adapter, kind: str, numbers: range, gap_ms: float
) -> dict[str, object]:
    """Submit each job by an awaited call of its own and tell when each call began and ended."""
    await adapter.open()
    begin, end = [], []
    for number in numbers:
        begin.append(now())
        await adapter.one(kind, number)
        end.append(now())
        if gap_ms:  # the arrival pattern that is measured, not a wait for something
            await asyncio.sleep(max(0.0, begin[-1] + gap_ms / 1000 - now()))
    await adapter.close()
    return {"begin": begin, "end": end}


async def _answer(adapter: Adapter, command: str, words: Sequence[str]) -> dict[str, object]:
    if command == "setup":
        await adapter.setup()
        return {}
    if command == "worker":
        await adapter.work(words[0])
        return {}
    kind, first, count = words[0], int(words[1]), int(words[2])
    numbers = range(first, first + count)
    if command == "submit":
        return await submit(adapter, kind, numbers, int(words[3]))
    return await submit_one_by_one(adapter, kind, numbers, float(words[3]))


def main(adapter: Adapter) -> None:
    """Carry out the command on the command line and print its answer as a JSON line."""
    try:
        import uvloop  # noqa: PLC0415  a subject that installs it wants it
    except ImportError:
        run = asyncio.run
    else:
        run = uvloop.run
    answer = run(_answer(adapter, sys.argv[1], sys.argv[2:]))
    sys.stdout.write(json.dumps(answer) + "\n")
