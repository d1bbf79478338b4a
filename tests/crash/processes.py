"""The commands of an application, as processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from tests.crash.fleet import REPOSITORY

APP: Final = "tests.crash.served:app"
LIMITS: Final = {
    f"HEADRACE_RATE_{name}": "0"
    for name in ("SUBMIT", "STATUS", "HEALTH", "OTHER", "TENANT_WRITES", "TENANT_READS")
}


@contextlib.asynccontextmanager
async def process(
    address: str, folder: Path, command: str, **variables: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`headrace api` or `headrace worker` inside an `async with` block; without limits of rates.

    Args:
        address: Of the database.
        folder: Where its log goes.
        command: `api` or `worker`.
        variables: More of its environment.
    """
    more = ["--no-supervisor"] if command == "worker" else []
    environment = {**os.environ, "HEADRACE_ENV": "testing", **LIMITS, **variables}
    environment["HEADRACE_DATABASE_URL"] = address
    with (folder / f"{command}.log").open("ab") as log:
        started = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "headrace", command, *more, APP,
            cwd=REPOSITORY, env=environment, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield started
    finally:
        with contextlib.suppress(ProcessLookupError):
            started.terminate()
        await started.wait()
