"""A worker in the process of the test."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from headrace.worker.worker import Worker


class RunningWorker:
    """A worker that runs beside the test.

    Attributes:
        worker: The worker itself, for those who look inside.
    """

    def __init__(self, worker: Worker, task: asyncio.Task[int]) -> None:
        self.worker, self._task = worker, task

    @property
    def number(self) -> int:
        """Its identity; a worker that was taken for lost comes back with another one.

        0 while it has none.
        """
        return getattr(self.worker.life, "number", 0)

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return not self._task.done()

    def stop(self) -> None:
        """As SIGTERM: running steps get the grace time; again: at once."""
        self.worker.stop()

    async def wait(self) -> int:
        """Wait until it has ended; its exit code: 70 where the process is to be replaced."""
        return await asyncio.shield(self._task)


@contextlib.asynccontextmanager
async def running(worker: Worker) -> AsyncIterator[RunningWorker]:
    """Run a worker inside an `async with` block; it claims when the block begins.

    At the end of the block it gets its grace time, and none where the block failed.
    """
    thresholds = gc.get_threshold()
    try:
        async with _running(worker) as beside:
            yield beside
    finally:  # a worker of its own process tunes the collector for good
        gc.set_threshold(*thresholds)
        gc.unfreeze()


@contextlib.asynccontextmanager
async def _running(worker: Worker) -> AsyncIterator[RunningWorker]:
    task = asyncio.create_task(worker.run(), name="headrace worker")
    beside = RunningWorker(worker, task)
    ready = asyncio.create_task(worker.started.wait())
    try:
        await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()  # it could not start: this raises why
        yield beside
    except BaseException:
        worker.stop()
        worker.stop()
        await asyncio.wait({task})
        raise
    finally:
        ready.cancel()
    worker.stop()
    await task
