"""What the workers of the breakers run carry: calls of a service behind a breaker."""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import Final

from headrace import CircuitBreaker, Pipeline, Retry

PORT: Final = "HEADRACE_TEST_PORT"
OPEN_S: Final = 4
PROBE_S: Final = 15
HANG_S: Final = 2.0
"""The client's time limit."""

guard = CircuitBreaker("service", open_for=OPEN_S, probe_timeout=PROBE_S)
guarded = Pipeline("guarded", input=int, output=int)


class ServiceDownError(Exception):
    """HTTP 503."""

    status_code = 503


@guarded.step(retry=Retry(attempts=20, first=0.1, most=1))
async def call(number: int) -> int:
    """Call the service, and tell it when this call was past the breaker."""
    async with guard:
        let_at = time.time()
        async with asyncio.timeout(HANG_S):
            answer = await ask({"process": os.getpid(), "let_at": let_at, "number": number})
        if answer != "ok":
            raise ServiceDownError
    return number


async def ask(said: dict[str, float]) -> str:
    """Say a line to the service; its answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(os.environ[PORT]))
    try:
        writer.write(json.dumps(said).encode() + b"\n")
        return (await reader.readline()).decode().strip()
    finally:
        writer.close()
