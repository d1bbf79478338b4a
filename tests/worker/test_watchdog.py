"""A process whose main loop stands still for good is ended, and says which step held it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from datetime import timedelta

from headrace.worker.timing import Timing
from headrace.worker.watchdog import EXIT_CODE, Watchdog
from tests.waiting import eventually

WORKER = """
import asyncio, sys, time
from uuid import UUID
from headrace.store.workers import WorkerIdentity
from headrace.telemetry.logs import configure_logs
from headrace.worker.heartbeat import PresenceListener
from headrace.worker.presence import Presence
from headrace.worker.timing import Timing

class Nobody(PresenceListener):
    pass

async def review(text):
    helper()

def helper():
    time.sleep(600)

async def main():
    worker = WorkerIdentity(id=1, host="h", pid=1, version="0", queues=(), carries="{}",
                            concurrency=1)
    presence = Presence(
        sys.argv[1], worker, Timing().scaled(1 / 60), listener=Nobody(),
        steps=lambda: [(UUID(int=7), "review"), (UUID(int=8), "expand")],
        functions={review.__code__: "pipe.review"},
    )
    await presence.start()
    await asyncio.create_task(review("x"))

configure_logs()
asyncio.run(main())
"""


class TestWatchdog:
    async def test_a_blocked_loop_ends_its_process_and_names_the_step(self, database: str) -> None:
        process = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", WORKER, database],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        lines = [json.loads(line) for line in process.stdout.splitlines()]
        stalled = [line for line in lines if line["event"] == "loop_stalled"]
        assert process.returncode == EXIT_CODE, process.stderr
        assert len(stalled) == 1
        assert stalled[0]["step"] == "pipe.review"
        assert stalled[0]["job_id"] == "00000000-0000-0000-0000-000000000007"
        assert "helper" in stalled[0]["stack"]

    async def test_a_loop_that_ticks_is_left_alone(self) -> None:
        watchdog = Watchdog("1", Timing().scaled(1 / 600), steps=tuple, functions={})
        watchdog.start(asyncio.get_running_loop())
        seen = 0

        def look() -> bool:
            nonlocal seen
            watchdog.check()
            seen += 1
            return seen > timedelta(seconds=0.3) / timedelta(seconds=0.01)

        await eventually(look)
        watchdog.stop()
