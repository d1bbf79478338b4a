"""A step that holds a slot of a limit until its worker is killed."""

from __future__ import annotations

import asyncio
import os
from typing import Final

from headrace import Pipeline, RateLimit

STAYS: Final = "HEADRACE_TEST_STAYS"
TOKENS: Final = 1_000
ESTIMATE: Final = 400
USED: Final = 150
limit = RateLimit("service", requests=1_000, tokens=TOKENS, per=86_400, concurrent=1)
pipe = Pipeline("pipe", input=int, output=int)


@pipe.step
async def call(number: int) -> int:
    """Never ends in a process that is told so."""
    async with limit.reserve(tokens=ESTIMATE) as reservation:
        if STAYS in os.environ:
            await asyncio.Event().wait()
        reservation.settle(tokens=USED)
    return number
