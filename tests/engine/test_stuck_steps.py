"""Processes of workers in which a step will not stop."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from headrace import JobHandle, JobState, Pipeline
from headrace.testing import Engine
from tests.engine import stuck
from tests.engine.conftest import MakeEngine
from tests.waiting import eventually


async def is_in(engine: Engine, job: JobHandle[Any], state: JobState) -> bool:
    return (await engine.job(job)).state is state


@asynccontextmanager
async def command(engine: Engine, *options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`headrace worker` with short limits, in a process of its own."""
    environment = {
        "HEADRACE_DATABASE_URL": engine.database,
        "HEADRACE_SHUTDOWN_GRACE_S": "1",
        "HEADRACE_CANCEL_KILL_S": "1",
        "HEADRACE_LOG_LEVEL": "ERROR",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "headrace", "worker", *options, "--concurrency", "2",
        "tests.engine.stuck:app", env={**os.environ, **environment},
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


class TestStepsThatWillNotStop:
    @pytest.mark.parametrize("pipe", [stuck.in_thread, stuck.in_loop], ids=["thread", "loop"])
    @pytest.mark.parametrize("options", [(), ("--no-supervisor",)], ids=["supervised", "alone"])
    async def test_they_hold_neither_their_job_nor_the_process(
        self, make_engine: MakeEngine, pipe: Pipeline[int, int], options: tuple[str, ...]
    ):
        async with make_engine([pipe]) as engine, command(engine, *options) as process:
            job = await engine.submit(pipe, 1)
            await eventually(lambda: is_in(engine, job, JobState.RUNNING), within=30)
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(20):
                assert await process.wait() == 0
            assert (await engine.job(job)).wait_reason == "released"

    async def test_a_process_that_they_fill_ends_to_be_replaced(self, make_engine: MakeEngine):
        async with make_engine([stuck.short]) as engine:
            await engine.submit(stuck.short, 1)
            async with command(engine, "--no-supervisor") as process, asyncio.timeout(40):
                assert await process.wait() == 70
