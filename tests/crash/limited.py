"""What the workers of the limits run carry: calls of a service, under a limit and a breaker."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import httpx2

from headrace import Pipeline, RateLimit, Retry, Use
from headrace.reliability.breaker import CircuitBreaker

ADDRESS: Final = "HEADRACE_TEST_SERVICE"
LEFT: Final = "left-at"
"""The header with the time when a call left, by the machine's one monotonic clock."""
RATE: Final = 100.0

service = RateLimit("service", requests=RATE, per=1)
breaker = CircuitBreaker("service")
limited = Pipeline("limited", input=int, output=int)


@asynccontextmanager
async def open_http() -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the service."""
    async with httpx2.AsyncClient(base_url=os.environ[ADDRESS], timeout=10) as http:
        yield http


@limited.step(retry=Retry(attempts=1))
async def call(number: int, http: httpx2.AsyncClient = Use(open_http)) -> int:
    """Call the service; a failure of it would use up the only attempt."""
    async with breaker, service.reserve():
        answer = await http.get("/", headers={LEFT: str(time.monotonic())})
        answer.raise_for_status()
    return number
