"""Jobs to follow, and an API that tells of them sooner."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Unpack

from headrace import Each, Pipeline, Retry, Signal, StepContext
from headrace.client.options import SubmitOptions
from headrace.testing import Engine
from headrace.web.events.hub import Pace
from tests.web.serving import SETTINGS, Api, serve
from tests.web.sse import Event, follow

QUICK = Pace(soonest=0.02, latest=0.1, heartbeat=0.2)
LARGE = 70_000
"""A result of that many lines does not come with its event."""

fan = Pipeline("fan", input=int, output=list[int])


@fan.step
async def plan(size: int) -> list[int]:
    return list(range(size))


@fan.step
async def square(number: int = Each(plan)) -> int:
    return number**2


@fan.step
async def gather(square: list[int]) -> list[int]:
    return square


shaky = Pipeline("shaky", input=int, output=int)


@shaky.step(retry=Retry(attempts=2, first=0.1, jitter=0))
async def attempt(good: int, ctx: StepContext) -> int:
    if ctx.attempt + ctx.run > 2 + good:
        return good
    raise ConnectionError("postgresql://admin:hunter2@db.internal is not there")


@shaky.step
async def done(attempt: int) -> int:
    return attempt


text = Pipeline("text", input=int, output=str)


@text.step
async def write(size: int) -> str:
    return "ä\n" * size


class Gate:
    """Lets the steps of `held` go on."""

    def __init__(self) -> None:
        self.open: dict[int, asyncio.Event] = {}

    def of(self, number: int) -> asyncio.Event:
        return self.open.setdefault(number, asyncio.Event())


gate = Gate()
held = Pipeline("held", input=int, output=int)


@held.step
async def early(number: int) -> int:
    return number


@held.step
async def late(early: int, ctx: StepContext) -> int:
    for done in range(3):
        ctx.progress(done, 3, f"part {done}")
        await asyncio.sleep(0.15)
    await gate.of(early).wait()
    return early


asked = Pipeline("asked", input=int, output=int)


@asked.step
async def ask(number: int) -> int:
    return number


@asked.step
async def answered(ask: int, one: int = Signal(), other: int = Signal()) -> int:
    return ask + one + other


@asked.step
async def counted(answered: int) -> int:
    return answered


PIPELINES = [fan, shaky, text, held, asked]


@contextlib.asynccontextmanager
async def followed(server: str) -> AsyncIterator[Api]:
    """An API whose streams are quicker, with a worker."""
    engine = Engine(PIPELINES, server=server, settings=SETTINGS)
    async with engine, serve(engine, pace=QUICK) as api, engine.worker(concurrency=20):
        yield api


async def submit(
    api: Api, pipeline: Pipeline[Any, Any], given: object, **options: Unpack[SubmitOptions]
) -> str:
    job = await api.engine.submit(pipeline, given, tenant="acme", owner="ann", **options)
    return job.id


async def told(api: Api, pipeline: Pipeline[Any, Any], given: object) -> tuple[str, list[Event]]:
    """A new job, and its events from its beginning to its end."""
    job = await submit(api, pipeline, given)
    return job, await follow(await api.client(), job)


def words(events: list[Event]) -> list[str]:
    return [event.word for event in events if event.name != "progress"]


def ids(events: list[Event]) -> list[str]:
    return [event.id for event in events]
