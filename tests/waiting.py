"""Waiting for what must become true, with a deadline."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
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
