"""Waiting for what must become true, with a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, TypeVar

T = TypeVar("T")

LOOK_S: Final = 0.01


async def eventually(predicate: Callable[[], T | Awaitable[T]], *, within: float = 10.0) -> T:
    """The first true answer of `predicate`, plain or async, asked again and again.

    Raises:
        AssertionError: There was none within `within` seconds.
    """
    deadline = time.monotonic() + within
    while True:
        answer = predicate()
        value = await answer if inspect.isawaitable(answer) else answer
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:g} s; the last answer was {value!r}")
        await asyncio.sleep(LOOK_S)


async def promptly(predicate: Callable[[], T | Awaitable[T]], *, within: float) -> T:
    """As `eventually`, in the seconds of a `Pulse`: those in which this process gets its turns."""
    async with pulsing() as pulse:
        while True:
            answer = predicate()
            value = await answer if inspect.isawaitable(answer) else answer
            if value:
                return value
            assert pulse.seconds < within, f"not within {within:g} s; the last answer was {value!r}"
            await asyncio.sleep(LOOK_S)


class Pulse:
    """Seconds as the loop of a test lives them: while this process gets no turn, none pass.

    They are never more than those of the clock, so a bound in them holds whatever else the machine
    has to do.
    """

    def __init__(self) -> None:
        self.seconds = 0.0

    async def beat(self) -> None:
        """Count, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.seconds += LOOK_S


@contextlib.asynccontextmanager
async def pulsing() -> AsyncIterator[Pulse]:
    """A pulse that is counted inside an `async with` block."""
    pulse = Pulse()
    beating = asyncio.create_task(pulse.beat())
    try:
        yield pulse
    finally:
        beating.cancel()
