"""The work about the HTTP API: submissions of 64 clients, and the same to an empty FastAPI route.

Both servers are up all the time, and short loads take turns on them: what the machine does besides
hits both alike. The ratio is the median of those of the pairs.
"""

import asyncio
import json
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from statistics import median
from typing import Any, Final

from bench.errors import BenchError
from bench.lab import Lab
from bench.processors import used
from bench.runs import Run
from bench.sizes import HTTP_CLIENTS, HTTP_LOAD_S, HTTP_WARM_UP_S
from bench.subjects import Subject
from headrace.store.api_keys import create_api_key

STORED: Final = "select count(*) from headrace.jobs"
APP: Final = "bench.headrace_app:worker"
USUAL: Final = {
    "HEADRACE_ENV": "testing",
    "HEADRACE_LOG_LEVEL": "INFO",  # two lines for each submission, as a server is usually run
    "HEADRACE_RATE_SUBMIT": "0",  # of one address there can be no limit that this does not reach
    "HEADRACE_RATE_TENANT_WRITES": "1000000",
}


@dataclass(frozen=True, slots=True)
class Server:
    """One of the two that are measured."""

    process: int
    port: int
    key: str


async def http(lab: Lab, subject: Subject) -> Mapping[str, float]:
    """Submissions a second, in pairs with the empty route, and where processor time goes."""
    async with lab.run(subject) as run:
        empty = await _start_empty(run)
        ours = await _start_api(run)
        first, _ = await _pair(run, ours, empty, HTTP_WARM_UP_S)
        await run.settle()
        pairs = [
            await _pair(run, ours, empty, HTTP_LOAD_S, is_turned=bool(turn % 2))
            for turn in range(lab.sizes.http_pairs)
        ]
        accepted = first["requests"] + sum(our["requests"] for our, _ in pairs)
        stored = await run.connection.fetchval(STORED)
        if stored != accepted:
            raise BenchError(f"{accepted} submissions were accepted, and {stored} are stored")
    return {
        "http": median(our["rate"] / floor["rate"] for our, floor in pairs),
        "http_p99": median(our["p99_ms"] for our, _ in pairs),
        "http_rate": median(our["rate"] for our, _ in pairs),
        "http_server": median(our["server_us"] for our, _ in pairs),
        "http_database": median(our["database_us"] for our, _ in pairs),
        "http_client": median(our["own_us"] for our, _ in pairs),
        "http_empty": median(floor["server_us"] for _, floor in pairs),
    }


async def _pair(
    run: Run, ours: Server, empty: Server, seconds: float, *, is_turned: bool = False
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the clients saw of both."""
    order = (empty, ours) if is_turned else (ours, empty)
    seen = {server: await _load(run, server, seconds) for server in order}
    return seen[ours], seen[empty]


async def _start_empty(run: Run) -> Server:
    port = _free_port()
    process = await run.start("-m", "bench.http_empty", str(port))
    await run.opened(port)
    return Server(process, port, "none")


async def _start_api(run: Run) -> Server:
    port = _free_port()
    key, _ = await create_api_key(
        run.connection, tenant="bench", owner="bench", scopes=["jobs:write"],
        life=timedelta(hours=1), by="bench",
    )  # fmt: skip
    process = await run.start("-m", "headrace", "api", APP, HEADRACE_PORT=str(port), **USUAL)
    await run.opened(port)
    return Server(process, port, key)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


async def _load(run: Run, server: Server, seconds: float) -> dict[str, Any]:
    """Let the clients load a server; what they saw, and processor time of each request."""
    backend = run.connection.get_server_pid()
    before = used(server.process, backend)
    client = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.http_load",
        str(server.port), str(HTTP_CLIENTS), str(seconds), server.key,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await client.communicate()
    if client.returncode:
        raise BenchError("the clients failed")
    seen: dict[str, Any] = json.loads(output)
    if seen["refused"]:
        raise BenchError(f"{seen['requests']} submissions, refused with {seen['refused']}")
    now = used(server.process, backend).since(before)
    seen["server_us"] = 1e6 * (now.loop + now.threads) / seen["requests"]
    seen["database_us"] = 1e6 * now.database / seen["requests"]
    return seen
