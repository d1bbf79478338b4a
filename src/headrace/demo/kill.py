"""The middle of the demo: a worker at work, its death, and another one that goes on."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from headrace import JobState
from headrace.demo.fleet import WorkerProcess
from headrace.demo.problem import DemoError
from headrace.demo.steplog import StepLog

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from headrace import Headrace, JobHandle
    from headrace.demo.show import Show

LOOK_S: Final = 0.1
MOST_JOBS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Amount:
    """Files and sections of them: all there are, or those that are done."""

    files: int
    sections: int

    def reaches(self, goal: Amount) -> bool:
        """Whether it is as much as the goal."""
        return self.files >= goal.files and self.sections >= goal.sections

    def __str__(self) -> str:
        return f"{self.files} files and {self.sections} sections"


@dataclass(frozen=True, slots=True)
class Recovery:
    """What became of the killed worker's jobs.

    Attributes:
        jobs: Those that it was running, and that the other worker went on with.
        seconds: From the kill until the last of them was in the other worker's hands.
    """

    jobs: int
    seconds: float


class Kill:
    """Two workers, of which the first is killed; a `with` block leaves none running."""

    _killed_at: datetime

    def __init__(self, app: Headrace, database: str, folder: Path, show: Show) -> None:
        """Nothing is started yet."""
        self._app, self._database, self._folder, self._show = app, database, folder, show
        self._workers: list[WorkerProcess] = []
        self.log = StepLog(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for worker in self._workers:
            worker.stop(at_once=kind is not None)

    @property
    def victim(self) -> int:
        """The process that was killed."""
        return self._workers[0].pid

    async def happen(self, total: Amount) -> None:
        """Let worker A do half of the sections, kill it, and let worker B do what is left.

        Raises:
            DemoError: A worker ended by itself.
        """
        with self._show.progress(files=total.files, sections=total.sections):
            first = self._start("A")
            done = await self._work(first, until=Amount(0, total.sections // 2))
            self._killed_at = first.kill()
            self._show.say(f"worker A is killed with SIGKILL, when {done} are done")
            await self._work(self._start("B"), until=Amount(total.files, 0))

    def _start(self, name: str) -> WorkerProcess:
        worker = WorkerProcess.start(name, self._database, self._folder)
        self._workers.append(worker)
        self._show.say(f"worker {name} is started: process {worker.pid}")
        return worker

    async def _work(self, worker: WorkerProcess, *, until: Amount) -> Amount:
        while True:
            done = await self._done()
            self._show.update(worker.name, files=done.files, sections=done.sections)
            if done.reaches(until):
                return done
            if worker.has_ended:
                raise DemoError(f"worker {worker.name} ended by itself: {worker.last_words()}")
            await asyncio.sleep(LOOK_S)

    async def _done(self) -> Amount:
        self.log.read()
        page = await self._app.list_jobs(limit=MOST_JOBS)
        ended = sum(JobState(job.state).is_final for job in page.items)
        return Amount(ended, self.log.count_ended("study"))

    async def recovery(self, jobs: Sequence[JobHandle[Any]]) -> Recovery:
        """How worker B came by what worker A was running, as the jobs' own histories tell it.

        Raises:
            DemoError: Worker A was running nothing, or what it was running was not recovered.
        """
        taken = []
        for job in jobs:
            history = await self._app.history(job.id)
            lost = next((entry.seq for entry in history if entry.reason == "recovered"), None)
            if lost is not None:
                taken += [entry.at for entry in history if entry.seq == lost + 1]
        if not taken:
            raise DemoError("the kill interrupted no job")
        return Recovery(len(taken), (max(taken) - self._killed_at).total_seconds())
