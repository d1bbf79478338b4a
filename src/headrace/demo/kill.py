"""The middle of the demo: a worker at work, its death, and another one that goes on."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from headrace.demo.fleet import WorkerProcess
from headrace.demo.problem import DemoError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from pathlib import Path

    from headrace import Headrace
    from headrace.demo.show import Show
    from headrace.pipelines.documents import DocumentStatus, Library

LOOK_S: Final = 0.2
MOST_DOCUMENTS: Final = 1_000


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

    def __init__(
        self, app: Headrace, library: Library, database: str, folder: Path, show: Show
    ) -> None:
        """Nothing is started yet."""
        self._app, self._library, self._show = app, library, show
        self._database, self._folder = database, folder
        self._workers: list[WorkerProcess] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for worker in self._workers:
            worker.stop(at_once=kind is not None)

    @property
    def victim(self) -> int:
        """The process that was killed."""
        return self._workers[0].pid

    async def happen(self) -> list[DocumentStatus]:
        """Let worker A embed half, kill it, and let worker B do what is left; the documents then.

        Raises:
            DemoError: A worker ended by itself, or the first one was done before it was killed.
        """
        with self._show.progress():
            first = self._start("A")
            documents = await self._work(first, until=_is_halfway)
            if all(document.stage.is_final for document in documents):
                raise DemoError("all was done before the worker could be killed: give more files")
            self._killed_at = first.kill()
            done = sum(document.embeds_done for document in documents)
            total = sum(document.embeds_total for document in documents)
            left = sum(not document.stage.is_final for document in documents)
            self._show.say(
                f"worker A is killed with SIGKILL: {done} of {total} chunks are embedded,"
                f" {left} files are not done"
            )
            return await self._work(self._start("B"), until=_is_over)

    def _start(self, name: str) -> WorkerProcess:
        worker = WorkerProcess.start(name, self._database, self._folder)
        self._workers.append(worker)
        self._show.say(f"worker {name} is started: process {worker.pid}")
        return worker

    async def _work(
        self, worker: WorkerProcess, *, until: Callable[[Sequence[DocumentStatus]], bool]
    ) -> list[DocumentStatus]:
        while True:
            page = await self._library.documents(limit=MOST_DOCUMENTS)
            documents = sorted(page.documents, key=lambda document: document.name)
            self._show.update(worker.name, documents)
            if until(documents):
                return documents
            if worker.has_ended:
                raise DemoError(f"worker {worker.name} ended by itself: {worker.last_words()}")
            await asyncio.sleep(LOOK_S)

    async def recovery(self, jobs: Sequence[str]) -> Recovery:
        """How worker B came by what worker A was running, as the jobs' own histories tell it.

        Raises:
            DemoError: Worker A was running nothing, or what it was running was not recovered.
        """
        taken = []
        for job in jobs:
            history = await self._app.history(job)
            lost = next((entry.seq for entry in history if entry.reason == "recovered"), None)
            if lost is not None:
                taken += [entry.at for entry in history if entry.seq == lost + 1]
        if not taken:
            raise DemoError("the kill interrupted no job")
        return Recovery(len(taken), (max(taken) - self._killed_at).total_seconds())


def _is_halfway(documents: Sequence[DocumentStatus]) -> bool:
    """Half of the chunks so far are embedded, and some but not all of one document's."""
    if _is_over(documents):
        return True
    split = sum(document.bytes for document in documents if document.embeds_total)
    if 2 * split < sum(document.bytes for document in documents):
        return False  # most of the text is still to be split: it is only the beginning
    done = sum(document.embeds_done for document in documents)
    total = sum(document.embeds_total for document in documents)
    return 2 * done >= total and any(
        0 < document.embeds_done < document.embeds_total for document in documents
    )


def _is_over(documents: Sequence[DocumentStatus]) -> bool:
    return all(document.stage.is_final for document in documents)
