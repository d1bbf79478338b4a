"""Where a draining worker's time goes: py-spy's samples of its process, by function."""

import asyncio
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from rich.table import Table

from bench.environments import prepare
from bench.errors import BenchError
from bench.events import mark
from bench.lab import Lab
from bench.protocol import MARK_EVERY
from bench.sizes import SUBMIT_BATCH
from bench.subjects import HOME, Subject

JOBS: Final = 60_000  # over SECONDS at the rates aimed at
SECONDS: Final = 5
RATE_HZ: Final = 250
TOP: Final = 30
LINE: Final = re.compile(r":\d+\)$")

TOOL: Final = Subject(
    name="py-spy", module="", requirements=("py-spy>=0.4",), kinds=frozenset(), done_sql=""
)


async def profile(lab: Lab, subject: Subject) -> Path:
    """Sample a worker that drains single-step jobs; returns the file of collapsed stacks.

    Raises:
        BenchError: py-spy could not be installed or may not read the worker.
    """
    await prepare(TOOL)
    stacks = HOME / "profile.txt"
    async with lab.run(subject) as run:
        await run.command("submit", "noop", 0, JOBS, SUBMIT_BATCH)
        await run.settle()
        await run.start_worker("noop")
        begun = await run.until(lambda events: mark(events, MARK_EVERY))
        await _sample(begun.pid, stacks)
    return stacks


async def _sample(pid: int, stacks: Path) -> None:
    words = f"record --pid {pid} --duration {SECONDS} --rate {RATE_HZ} --format raw --nonblocking"
    process = await asyncio.create_subprocess_exec(
        TOOL.python.with_name("py-spy"),
        *words.split(),
        "--output",
        str(stacks),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise BenchError(output.decode(errors="replace").strip())


def summed(lines: Iterable[str]) -> tuple[Counter[str], Counter[str]]:
    """Samples by function, inside it and under it; a line is `outer (file:1);inner (file:2) 17`."""
    own: Counter[str] = Counter()
    under: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.rpartition(" ")
        functions = [LINE.sub(")", frame) for frame in stack.split(";")]
        own[functions[-1]] += int(count)
        for function in set(functions):
            under[function] += int(count)
    return own, under


def summary(stacks: Path) -> Table:
    """The functions with the most samples, in percent of all."""
    own, under = summed(stacks.read_text().splitlines())
    total = max(1, own.total())
    grid = Table(title=f"one draining worker, {total} samples; all stacks: {stacks}")
    grid.add_column("function")
    grid.add_column("own %", justify="right")
    grid.add_column("under %", justify="right")
    for function, count in own.most_common(TOP):
        shares = (100 * count / total, 100 * under[function] / total)
        grid.add_row(function, *(f"{share:.1f}" for share in shares))
    return grid
