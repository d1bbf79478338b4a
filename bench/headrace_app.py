"""The pipelines that the benchmark runs on headrace, as a user would write them.

`worker` carries what a measured worker runs; `everything` also the pipeline that nobody carries.
"""

import asyncio
import os
from dataclasses import dataclass

from bench.protocol import SLEEP_S, Recorder
from headrace import Headrace, Pipeline


@dataclass(frozen=True, slots=True)
class Item:
    """The input of every job: its number and about 200 bytes in all."""

    i: int
    pad: str


recorder = Recorder()

noop = Pipeline("noop", input=Item, output=int)
steps = Pipeline("steps", input=Item, output=int)
sleep = Pipeline("sleep", input=Item, output=int)
nobody = Pipeline("nobody", input=Item, output=int)


@noop.step
async def only(item: Item) -> int:
    """One durable step that does nothing."""
    recorder.start(item.i)
    return item.i


@steps.step
async def first(item: Item) -> int:
    """The first of five steps, each with the output of the one before."""
    recorder.start(item.i)
    return item.i


@steps.step
async def second(first: int) -> int:
    """The second step."""
    recorder.start(first)
    return first


@steps.step
async def third(second: int) -> int:
    """The third step."""
    recorder.start(second)
    return second


@steps.step
async def fourth(third: int) -> int:
    """The fourth step."""
    recorder.start(third)
    return third


@steps.step
async def fifth(fourth: int) -> int:
    """The last step."""
    recorder.start(fourth)
    return fourth


@sleep.step
async def rest(item: Item) -> int:
    """A step that is still running when its worker dies."""
    recorder.start(item.i)
    await asyncio.sleep(SLEEP_S)
    recorder.end(item.i)
    return item.i


@nobody.step
async def never(item: Item) -> int:
    """A step that no worker of the benchmark carries."""
    return item.i


DSN = os.environ.get("BENCH_DSN")
worker = Headrace(pipelines=[noop, steps, sleep], database=DSN)
everything = Headrace(pipelines=[noop, steps, sleep, nobody], database=DSN)
