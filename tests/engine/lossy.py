"""Pipelines whose items may fail, for worker processes that are killed."""

import asyncio
import os
from pathlib import Path
from typing import Any

from headrace import Each, ItemResult, PermanentError, Pipeline, Retry

FOLDER = "HEADRACE_TEST_FOLDER"

lossy = Pipeline("lossy", input=list[int], output=list[str])
beside = Pipeline("beside", input=list[int], output=list[str])
apart = Pipeline("apart", input=int, output=list[str])


def tell(line: str) -> None:
    """Write down what happens, for whoever outlives this process."""
    with (Path(os.environ[FOLDER]) / "effects").open("a") as file:
        file.write(f"{line}\n")


def told() -> list[str]:
    """What was written down."""
    return (Path(os.environ[FOLDER]) / "effects").read_text().splitlines()


def outcomes_of(results: list[ItemResult[Any]]) -> list[str]:
    """Each outcome in a word."""
    return [f"{one.key}={one.output if one.error is None else one.error.code}" for one in results]


@lossy.step
async def numbers(given: list[int]) -> list[int]:
    return given


@lossy.step(parallel=1, retry=Retry(attempts=1))
async def work(number: int = Each(numbers, at_least=2)) -> int:
    tell(f"work {number}")
    if number < 0:
        raise PermanentError(f"no {number}")
    if number == 0 and told().count("work 0") == 1:
        await asyncio.sleep(60)  # until this process is killed
    return number


@lossy.step
async def gather(work: list[ItemResult[int]]) -> list[str]:
    return outcomes_of(work)


@beside.step
async def linger(given: list[int]) -> None:
    tell(f"linger {given}")
    await asyncio.sleep(60)


beside.step(numbers)
beside.step(parallel=1, retry=Retry(attempts=1))(work)
beside.step(gather)


@apart.step(runs_in="process", retry=Retry(attempts=1))
def divide(count: int, number: int = Each((0, 1, 2, 3), key=str, at_least=2)) -> int:
    if number == 3:
        os._exit(7)
    return count // number


@apart.step(runs_in="process")
def collect(divide: list[ItemResult[int]]) -> list[str]:
    return outcomes_of(divide)


ALL: list[Any] = [lossy, beside, apart]
