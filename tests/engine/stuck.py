"""An app whose steps never stop: this module imports nothing that a worker does not need."""

import asyncio
import time

from headrace import Headrace, Pipeline

in_thread = Pipeline("in_thread", input=int, output=int)


@in_thread.step
def sleep(number: int) -> int:
    time.sleep(3600)
    return number


in_loop = Pipeline("in_loop", input=int, output=int)


@in_loop.step
async def swallow(number: int) -> int:
    while number:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue
    return number


short = Pipeline("short", input=int, output=int)


@short.step(timeout=0.1)
def sleep_too_long(number: int) -> int:
    time.sleep(3600)
    return number


app = Headrace(pipelines=[in_thread, in_loop, short])
