"""Attempts without a database around them: what `StepProcesses` sees of an engine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any

from headrace.client import JobHandle
from headrace.model.pipeline import Pipeline
from headrace.store.entries import RecordRow
from headrace.worker.arguments import fill_texts
from headrace.worker.attempt import Attempt
from headrace.worker.claim import NORMAL, Claim
from headrace.worker.context import AsyncContext
from headrace.worker.engine import Limits
from headrace.worker.outcomes import Done, Failed, Outcome
from headrace.worker.processes import StepProcesses
from headrace.worker.run import JobRun
from headrace.worker.timing import Timing
from tests.waiting import eventually
from tests.worker.process_app import Order, other, steps

APP = "tests.worker.process_app"
TIMING = Timing(cancel_kill=timedelta(seconds=1))


@dataclass
class Engine:
    """What attempts need, in memory."""

    records: list[RecordRow] = field(default_factory=list)
    submitted: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.client = self
        self.limits = Limits()

    def store_record(self, _attempt: Attempt, row: RecordRow) -> asyncio.Future[None]:
        self.records.append(row)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.set_result(None)
        return future

    async def submit(
        self, pipeline: Pipeline[Any, Any], value: object, **options: object
    ) -> JobHandle[Any]:
        self.submitted.append({"pipeline": pipeline.name, "value": value, **options})
        return JobHandle(None, "a-job")  # type: ignore[arg-type]


def claim_of(pipeline: Pipeline[Any, Any], order: Order) -> Claim:
    return Claim(
        job=uuid.uuid4(), token=1, run=2, pipeline=pipeline, version="1.0.0", queue="default",
        tenant="acme", owner="ann", input=pipeline.input.encode(order), fresh=True,
        suspicion=NORMAL, cancel_requested=False, limit_s=1_800.0, limit_cause="", waited_s=0.0,
        preset=None, parameters={"depth": 3}, correlation_id=None, late_s=0.0, age_s=0.0,
        first_of_run=True, worker=1,
    )  # fmt: skip


class Bench:
    """Runs steps of one pipeline in processes."""

    def __init__(self, processes: StepProcesses, pipeline: Pipeline[Any, Any] = steps) -> None:
        self.processes, self.pipeline = processes, pipeline
        self.engine = Engine()

    def attempt(self, name: str, order: Order, outputs: Mapping[str, str] | None = None) -> Attempt:
        """An attempt that is not yet started."""
        run = JobRun(claim_of(self.pipeline, order), None, monotonic())  # type: ignore[arg-type]
        run.outputs = dict(outputs or {})
        step = self.pipeline.steps[name]
        limit = step.timeout.total_seconds() if step.timeout else 300.0
        now = monotonic()
        return Attempt(run, step, "", number=3, started=now, deadline=now + limit)

    async def run(self, attempt: Attempt) -> Outcome:
        """Its outcome."""
        engine: Any = self.engine
        texts = await fill_texts(attempt, engine)
        return await self.processes.run(attempt, texts, AsyncContext(attempt, engine))

    async def outcome(self, name: str, order: Order | None = None) -> Outcome:
        """The outcome of a step."""
        return await self.run(self.attempt(name, order or Order()))

    def start(self, attempt: Attempt) -> asyncio.Task[Outcome]:
        """Run it in a task that `attempt.cancel` cancels."""
        task = asyncio.get_running_loop().create_task(self.run(attempt))
        attempt.task = task  # type: ignore[assignment]
        return task


@contextlib.asynccontextmanager
async def open_bench(
    most: int = 2, app: str | None = None, pipelines: Sequence[Pipeline[Any, Any]] = (steps, other)
) -> AsyncIterator[Bench]:
    """A bench for the first pipeline, with processes that end with the block."""
    processes = StepProcesses(app, pipelines, timing=TIMING, most=most)
    try:
        yield Bench(processes, pipelines[0])
    finally:
        await processes.close()


async def file_at(path: Path, within_s: float = 20.0) -> str:
    """The text of a file that another process is to write."""
    await eventually(path.exists, within=within_s)
    return path.read_text(encoding="ascii")  # noqa: ASYNC240 - a line


def is_gone(pid: int, within_s: float = 5.0) -> bool:
    """Whether a process, of whomever, ends within the time."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        ready, _, _ = select.select([descriptor], [], [], within_s)
        return bool(ready)
    finally:
        os.close(descriptor)


def parent_of(pid: int) -> int:
    """The process that would learn of its end."""
    status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    return int(status.rpartition(")")[2].split()[1])


def done(outcome: object) -> str:
    assert isinstance(outcome, Done), outcome
    return outcome.text


def failed(outcome: object) -> Failed:
    assert isinstance(outcome, Failed), outcome
    return outcome
