"""`python -m tests.web.idle`: thousands of connections that do nothing, and one caller beside them.

The API runs in a process of its own. It ends with 1 where the caller got another answer than 200,
202, or 503 with `Retry-After`, where what was accepted is not there, or where the API does not get
rid of the connections and of what they took.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from headrace.testing import Engine
from tests.conftest import embedded_server
from tests.web.pipes import double
from tests.web.serving import SETTINGS, serve, who

SPARE = 200
"""Files that a process needs besides."""
AT_ONCE = 500
PAUSE_S = 0.2
GONE_S = 30.0
"""Within so long all of them are closed: 10 s are what each may take, or 2 s in a crowd."""
MOST_MIB = 100
"""More than before, once they are gone."""
BODY = {"pipeline": "double", "payload": 1}


@dataclass
class Caller:
    """Submits and lists as long as it is told, each time by a new connection."""

    url: str
    key: str
    statuses: Counter[int] = field(default_factory=Counter)
    accepted: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    slowest_s: float = 0.0

    async def call(self) -> int:
        headers = {"Authorization": f"Bearer {self.key}"}
        began = time.monotonic()
        async with httpx2.AsyncClient(base_url=self.url, headers=headers, timeout=30) as client:
            answer = await client.post("/v1/jobs", json=BODY)
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)
        self.statuses[answer.status_code] += 1
        if answer.status_code == 202:
            self.accepted.append(answer.json()["job_id"])
        elif answer.status_code != 503 or "Retry-After" not in answer.headers:
            self.wrong.append(f"{answer.status_code} {answer.text}")
        return answer.status_code

    async def go_on(self) -> None:
        while True:
            await self.call()
            await asyncio.sleep(PAUSE_S)


def raise_limit(wanted: int) -> None:
    """Have this process open so many files, or say that it may not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        sys.exit(f"this takes {wanted} open files; the limit here is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def taken_by(process: int) -> tuple[int, float]:
    """Open files of a process, and its memory in MiB."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    files = len(list(Path(f"/proc/{process}/fd").iterdir()))
    return files, pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def serve_alone(server: str) -> None:
    """The API, until nobody reads what it says."""
    settings = SETTINGS.model_copy(update={"env": "testing"})
    async with Engine([double], server=server, settings=settings) as engine, serve(engine) as api:
        told = {"url": api.url, "key": await api.key(who()), "database": engine.database}
        print(json.dumps(told), flush=True)  # noqa: T201 - it is what the other process waits for
        await asyncio.to_thread(sys.stdin.read)


@contextlib.asynccontextmanager
async def served(server: str) -> AsyncIterator[tuple[dict[str, str], int]]:
    """An API in a process of its own: what it tells, and its number."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.web.idle", "--serve", server),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin
    assert process.stdout
    try:
        yield json.loads(await process.stdout.readline()), process.pid
    finally:
        process.stdin.close()
        await process.wait()


async def open_all(port: int, count: int) -> list[asyncio.StreamReader]:
    """So many connections that say nothing; they are closed by the other side."""
    readers: list[asyncio.StreamReader] = []
    for first in range(0, count, AT_ONCE):
        some = range(first, min(count, first + AT_ONCE))
        opened = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for _ in some))
        readers += [reader for reader, _ in opened]
        WRITERS.extend(writer for _, writer in opened)
    return readers


WRITERS: list[asyncio.StreamWriter] = []
"""Kept: a connection that nobody holds is closed."""


async def until_closed(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionError):
        await reader.read()


async def flood(server: str, count: int) -> Iterator[str]:
    """Do it; what was wrong."""
    async with served(server) as (told, process):
        caller = Caller(told["url"], told["key"])
        await caller.call()
        files, memory = taken_by(process)
        calling = asyncio.create_task(caller.go_on())
        began = time.monotonic()
        readers = await open_all(int(told["url"].rpartition(":")[2]), count)
        opened_s, most = time.monotonic() - began, taken_by(process)
        async with asyncio.timeout(GONE_S):
            await asyncio.gather(*map(until_closed, readers))
        gone_s = time.monotonic() - began - opened_s
        calling.cancel()
        last = await caller.call()
        for writer in WRITERS:
            writer.close()
        after = taken_by(process)
        found = [*caller.wrong, *await missing(caller)]
    say(f"{count} connections in {opened_s:.1f} s, all closed {gone_s:.1f} s later")
    say(f"files {files}, at most {most[0]}, then {after[0]}")
    say(f"MiB {memory:.0f}, at most {most[1]:.0f}, then {after[1]:.0f}")
    say(f"answers beside them {dict(caller.statuses)}, the slowest after {caller.slowest_s:.2f} s")
    if last != 202:
        found.append(f"the last answer is {last}")
    if after[0] > files + 10:
        found.append("files are left open")
    if after[1] > memory + MOST_MIB:
        found.append("memory is not given back")
    return iter(found)


async def missing(caller: Caller) -> list[str]:
    """What was accepted and is not there."""
    headers = {"Authorization": f"Bearer {caller.key}"}
    async with httpx2.AsyncClient(base_url=caller.url, headers=headers) as client:
        answers = {job: await client.get(f"/v1/jobs/{job}") for job in caller.accepted}
    return [f"{job} is missing" for job, answer in answers.items() if answer.status_code != 200]


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.web.idle", description=__doc__)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    given = parser.parse_args()
    raise_limit(given.connections + SPARE)
    if given.serve:
        asyncio.run(serve_alone(given.serve))
        return 0
    with contextmanager(embedded_server)() as server:
        wrong = list(asyncio.run(flood(server, given.connections)))
    for text in wrong[:20]:
        say(text)
    return min(len(wrong), 1)


if __name__ == "__main__":
    sys.exit(main())
