"""The work about start-up: how long an import and a command's help take in a fresh process."""

import asyncio
from collections.abc import Mapping
from statistics import median
from time import monotonic

from bench.errors import BenchError
from bench.lab import Lab
from bench.subjects import Subject


async def launch(lab: Lab, subject: Subject) -> Mapping[str, float]:
    """Median seconds of fresh processes; the floor's is the bare interpreter."""
    return {
        "import": await _median(subject, ("-c", subject.imports), lab.sizes.launches),
        "help": await _median(subject, subject.help, lab.sizes.launches),
    }


async def _median(subject: Subject, words: tuple[str, ...], times: int) -> float:
    await _seconds(subject, words)  # the first one may write the bytecode
    return median([await _seconds(subject, words) for _ in range(times)])


async def _seconds(subject: Subject, words: tuple[str, ...]) -> float:
    begin = monotonic()
    process = await asyncio.create_subprocess_exec(
        subject.python,
        *words,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    if await process.wait():
        raise BenchError(f"python {' '.join(words)} ended with {process.returncode}")
    return monotonic() - begin
