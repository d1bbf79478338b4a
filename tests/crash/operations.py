"""`python -m tests.crash.operations`: jobs share payments while workers are killed and frozen.

Every call of the service notes a receipt of its own. Whatever dies, all jobs of an order have to
come to the same receipt, it has to be that of the record, and nothing is left pending. Prints how
often the service was called again, and `operations ok: ...` or what is wrong. Ends with 0 or 1.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Final

from headrace.testing import Engine
from headrace.testing.process import WorkerProcess
from tests.crash.server import CrashServer
from tests.crash.shared import LEDGER, payments

APP: Final = "tests.crash.shared:payments"
JOBS_AT_ONCE: Final = 10
BLOW_S: Final = (0.2, 1.5)
FROZEN_S: Final = (0.5, 4.0)
KILLED: Final = 0.5
"""The part of the blows that kill; the others freeze."""
DRAIN_S: Final = 180.0
CHANCE: Final = random.Random()  # noqa: S311 - no secret
RECORDS: Final = "select key, state, output, takeovers from headrace.operations"
RESULTS: Final = """
select job.input::text, job.state, job.cause, step.output::text
from headrace.job_list as job
left join headrace.steps as step on step.job = job.id and step.run = job.run
"""


async def torment(engine: Engine, stop: asyncio.Event, blows: Counter[str]) -> None:
    """Keep a worker process running, and kill or freeze it again and again."""
    while not stop.is_set():
        async with engine.spawn(APP, concurrency=JOBS_AT_ONCE) as one:
            while not stop.is_set() and await strike(one, stop, blows):
                pass


async def strike(process: WorkerProcess, stop: asyncio.Event, blows: Counter[str]) -> bool:
    """Let a process live for a while, then strike it; whether it lives on."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), CHANCE.uniform(*BLOW_S))
        return False
    if CHANCE.random() < KILLED:
        blows["killed"] += 1
        process.kill()
        return False
    blows["frozen"] += 1
    process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(CHANCE.uniform(*FROZEN_S))
    process.send_signal(signal.SIGCONT)
    return True


async def run(options: argparse.Namespace, ledger: Path) -> list[str]:
    """Submit, torment, drain; what is wrong then."""
    blows: Counter[str] = Counter()
    stop = asyncio.Event()
    async with CrashServer() as server, Engine([payments], server=server.address) as engine:
        orders = [order for order in range(options.orders) for _ in range(options.jobs)]
        CHANCE.shuffle(orders)
        async with asyncio.TaskGroup() as group:
            for _ in range(options.workers):
                group.create_task(torment(engine, stop, blows))
            pause_s = options.seconds / len(orders)
            for order in orders:
                await engine.submit(payments, order)
                await asyncio.sleep(pause_s)
            stop.set()
        await engine.run_until_empty(DRAIN_S, concurrency=50, skip_waits=True)
        return await judge(engine, notes_of(ledger), blows)


def notes_of(ledger: Path) -> list[str]:
    """The receipts that the service gave."""
    return ledger.read_text(encoding="utf-8").splitlines()


async def judge(engine: Engine, noted: list[str], blows: Counter[str]) -> list[str]:
    """Hold what is stored against what the service noted."""
    async with engine.connection() as connection:
        records = await connection.fetch(RECORDS)
        results = await connection.fetch(RESULTS)
    receipts = {row["key"]: json.loads(row["output"] or "null") for row in records}
    given_up = {row["key"] for row in records if row["state"] == "failed"}
    wrong = [f"{row['key']} is pending" for row in records if row["state"] == "pending"]
    wrong += [
        f"{key}: {receipts[key]} is no receipt of the service"
        for key in receipts.keys() - given_up
        if receipts[key] not in noted
    ]
    for row in results:
        key = f"order-{json.loads(row['input'])}"
        if row["state"] != "completed":
            if key not in given_up and row["cause"] != "worker_lost":
                wrong.append(f"a job of {key} is {row['state']}: {row['cause']}")
        elif json.loads(row["output"]) != receipts.get(key):
            wrong.append(f"a job of {key} has {row['output']}, the record {receipts.get(key)}")
    calls = Counter(line.split()[0] for line in noted)
    print_line(
        f"{len(results)} jobs, {len(calls)} orders, {dict(blows)}: {len(noted)} calls, "
        f"{len(noted) - len(calls)} of them again, {max(calls.values())} at most for an order; "
        f"{sum(row['takeovers'] for row in records)} takeovers, {len(given_up)} given up"
    )
    return wrong


def print_line(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Run once."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.operations", description=__doc__)
    add = parser.add_argument
    add("--seconds", type=float, default=30.0, help="how long jobs come and workers die")
    add("--orders", type=int, default=60)
    add("--jobs", type=int, default=5, help="for each order")
    add("--workers", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="headrace-operations-") as folder:
        ledger = Path(folder) / "ledger"
        os.environ[LEDGER] = str(ledger)
        wrong = asyncio.run(run(options, ledger))
    for line in wrong:
        print_line(line)
    print_line("operations FAILED" if wrong else "operations ok: one receipt for each order")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
