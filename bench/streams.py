"""`python -m bench.streams`: what open event streams cost one API process, and how late they are.

1,000 clients follow a job each: at first nothing happens, then a worker runs the jobs.
"""

import argparse
import asyncio
import contextlib
import json
import os
import socket
import statistics
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import time
from typing import Final

from bench.processors import PROC, TICKS
from bench.server import server
from headrace import Headrace, Pipeline
from headrace.store.api_keys import create_api_key

IDLE_S: Final = 20.0
OPENING: Final = 50
"""Streams that are opened at a time."""
LIMIT_S: Final = 120.0
DATABASE: Final = "bench_streams"
LINES: Final = (
    "select pid from pg_stat_activity "
    "where datname = current_database() and application_name = 'headrace events'"
)

quick = Pipeline("quick", input=int, output=int)


@quick.step
async def first(number: int) -> int:
    """The first of two steps."""
    return number


@quick.step
async def second(first: int) -> int:
    """The second of two steps."""
    return first


app = Headrace([quick])


@dataclass
class Seen:
    """What the clients saw."""

    left: int
    """Streams that are not open yet."""
    lags: list[float] = field(default_factory=list)
    """Seconds from each transition or step to its event."""
    ended: int = 0
    all_open: asyncio.Event = field(default_factory=asyncio.Event)


def resident_mib(pid: int) -> float:
    """Resident memory of a process."""
    lines = (PROC / str(pid) / "status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def processor_s(pid: int) -> float:
    """Processor time that a process has used."""
    text = (PROC / str(pid) / "stat").read_text().rpartition(") ")[2].split()
    return sum(map(int, text[11:13])) / TICKS


async def follow(port: int, key: str, job: str, seen: Seen, begun: asyncio.Semaphore) -> None:
    """Read a job's events until its stream ends."""
    async with begun:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            f"GET /v1/jobs/{job}/events HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n"
            f"Authorization: Bearer {key}\r\n\r\n".encode()
        )
        status = await reader.readline()
        if b" 200 " not in status:
            raise RuntimeError(status.decode())
        await reader.readuntil(b"event: state")
        seen.left -= 1
        if not seen.left:
            seen.all_open.set()
    async for line in reader:
        if line.startswith(b"data: "):
            note(line, seen)
    seen.ended += 1
    writer.close()


def note(line: bytes, seen: Seen) -> None:
    """Remember how late an event came."""
    data = json.loads(line.removeprefix(b"data: "))
    at = data.get("at") or data.get("finished_at")
    if at is not None and data.get("to_state") != "queued":
        seen.lags.append(time() - datetime.fromisoformat(at).timestamp())


@contextlib.asynccontextmanager
async def program(*words: str, **variables: str) -> AsyncIterator[int]:
    """A command of headrace inside an `async with` block; its process id."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "headrace", *words, "bench.streams:app",
        cwd=Path(__file__).parent.parent, env={**os.environ, **variables},
        stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def measure(url: str, count: int) -> dict[str, float]:
    """All figures."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    limits = ("SUBMIT", "STATUS", "HEALTH", "OTHER", "TENANT_WRITES", "TENANT_READS")
    rates = {f"HEADRACE_RATE_{name}": "0" for name in limits}
    here = Headrace([quick], database=url)
    await here.migrate()
    variables = {"HEADRACE_DATABASE_URL": url, "HEADRACE_PORT": str(port), **rates}
    async with here, program("api", **variables) as api:
        key = await make_key(here)
        await until_open(port)
        jobs = await here.submit_many(quick, range(count), tenant="bench", owner="bench")
        return await watch(here, [job.id for job in jobs], (port, key, api), variables)


async def watch(
    here: Headrace, jobs: Sequence[str], place: tuple[int, str, int], variables: dict[str, str]
) -> dict[str, float]:
    """Open the streams, leave them alone for a while, then let the jobs run."""
    port, key, api = place
    seen, begun = Seen(len(jobs)), asyncio.Semaphore(OPENING)
    await ask_once(port, key)
    before = resident_mib(api)
    streams = [asyncio.create_task(follow(port, key, job, seen, begun)) for job in jobs]
    async with asyncio.timeout(LIMIT_S):
        await seen.all_open.wait()
        await asyncio.sleep(2)
        open_mib = resident_mib(api)
        [backend] = feeding = await listening(here)
        began = processor_s(api), processor_s(backend)
        await asyncio.sleep(IDLE_S)
        idle = [processor_s(pid) - then for pid, then in zip((api, backend), began, strict=True)]
        async with program("worker", **variables):
            await asyncio.gather(*streams)
    await asyncio.sleep(1)
    lags = sorted(seen.lags)
    return {
        "streams": len(jobs),
        "ended": seen.ended,
        "events": len(lags),
        "MiB before": before,
        "MiB with open streams": open_mib,
        "MiB when the jobs had run": resident_mib(api),
        "listening connections": len(feeding),
        "API, processor % while idle": 100 * idle[0] / IDLE_S,
        "its connection's backend, %": 100 * idle[1] / IDLE_S,
        "lag p50, s": statistics.median(lags),
        "lag p99, s": lags[int(0.99 * len(lags))],
    }


async def ask_once(port: int, key: str) -> None:
    """A first request, so that what is loaded late is there."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"GET /v1/jobs HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n"
        f"Authorization: Bearer {key}\r\n\r\n".encode()
    )
    await reader.read()
    writer.close()


async def listening(here: Headrace) -> list[int]:
    """The server's processes behind the connections that feed streams."""
    async with here.connection() as connection:
        return [row["pid"] for row in await connection.fetch(LINES)]


async def make_key(here: Headrace) -> str:
    """A key that may read."""
    async with here.connection() as connection:
        key, _ = await create_api_key(
            connection, tenant="bench", owner="bench", scopes=["jobs:read"],
            life=timedelta(hours=1), by="bench",
        )  # fmt: skip
    return key


async def until_open(port: int) -> None:
    """Return when the API listens."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.1)


async def main() -> None:
    """Measure, and show the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.streams", description=__doc__)
    parser.add_argument("--streams", type=int, default=1_000)
    options = parser.parse_args()
    async with server(None) as postgres:
        await postgres.create(DATABASE)
        try:
            found = await measure(postgres.url(DATABASE), options.streams)
        finally:
            await postgres.drop(DATABASE)
    sys.stdout.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M}\n")
    for name, value in found.items():
        sys.stdout.write(f"{name:30} {value:10,.2f}\n")


if __name__ == "__main__":
    asyncio.run(main())
