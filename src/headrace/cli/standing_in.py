"""A worker in the process of a command, for as long as nobody else does the work."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from typing import TYPE_CHECKING, Any, Final, TextIO

import typer

from headrace.cli.running import beside
from headrace.telemetry.events import Level

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from headrace.app import Headrace
    from headrace.model.pipeline import Pipeline
    from headrace.store.reads import WorkerStatus
    from headrace.worker.worker import Worker

MOST_WORKERS: Final = 1_000
PAUSE_S: Final = 1.0


@contextlib.asynccontextmanager
async def worker_for(
    app: Headrace,
    pipeline: Pipeline[Any, Any],
    *,
    wanted: asyncio.Event | None = None,
    stream: TextIO | None = None,
    least: Level = Level.WARNING,
) -> AsyncIterator[None]:
    """Have a worker for a pipeline: one that is alive, else one in this process.

    Should the living ones die meanwhile, this process takes over.

    Args:
        app: Open, and carries the pipeline.
        pipeline: What is to be run.
        wanted: Set once there is work; set here at the end. There is work from the beginning if
            left out.
        stream: Where it is told that a worker runs here, and its log; the standard error.
        least: The least level that is logged.
    """
    from headrace.cli.logs import log_to

    told = stream or sys.stderr
    if wanted is None:
        wanted = asyncio.Event()
        wanted.set()
    stand_in = StandIn(app, pipeline, told, wanted)
    with log_to(told, app.settings, least=least):
        if wanted.is_set():
            await stand_in.look()
        async with beside(stand_in.run(), stop=stand_in.stop):
            yield


class StandIn:
    """Runs a worker once there is work and no other one is alive for a pipeline."""

    def __init__(
        self, app: Headrace, pipeline: Pipeline[Any, Any], told: TextIO, wanted: asyncio.Event
    ) -> None:
        self._app, self._pipeline, self._told, self._wanted = app, pipeline, told, wanted
        self._stopped = asyncio.Event()
        self._worker: Worker | None = None
        self._is_needed = False
        self._seen: dict[int, tuple[datetime, float]] = {}
        """The last heartbeat of each worker, and when it was new here."""

    async def look(self) -> None:
        """Say so if no worker is alive: where that is so at once, before anything else is said."""
        if self._is_needed or await self._is_carried():
            return
        self._is_needed = True
        name, queue = self._pipeline.name, self._pipeline.queue
        typer.echo(
            f"headrace: no worker is alive for {name} in queue {queue}: "
            "running one in this process",
            file=self._told,
        )

    async def run(self) -> None:
        """Wait until there is work that nobody does, then do it; until stopped."""
        await self._wanted.wait()
        while not self._stopped.is_set():
            await self.look()
            if self._is_needed:
                break
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), PAUSE_S)
        if self._stopped.is_set():
            return
        self._worker = self._app.worker(queues=[self._pipeline.queue])
        await self._worker.run()

    def stop(self) -> None:
        """End the worker; the second call leaves running steps no time."""
        self._stopped.set()
        self._wanted.set()
        if self._worker is not None:
            self._worker.stop()

    async def _is_carried(self) -> bool:
        workers = await self._app.list_workers(limit=MOST_WORKERS)
        return any(
            self._is_heard(worker)
            for worker in workers
            if worker.state == "alive"
            and self._pipeline.queue in worker.queues
            and _reaches(worker.carries.get(self._pipeline.name), self._pipeline)
        )

    def _is_heard(self, worker: WorkerStatus) -> bool:
        """Whether it has not fallen silent: one that was killed stays listed until its lease ends.

        A worker that is only slow loses nothing by another one beside it.
        """
        now = time.monotonic()
        heartbeat, since = self._seen.get(worker.id, (None, now))
        if heartbeat != worker.heartbeat_at:
            since = now
        self._seen[worker.id] = (worker.heartbeat_at, since)
        return now - since < self._app.settings.timing().presence_grace.total_seconds()


def _reaches(version: str | None, pipeline: Pipeline[Any, Any]) -> bool:
    """Whether a worker that carries `version` runs jobs of this pipeline."""
    return version is not None and tuple(map(int, version.split("."))) >= pipeline.version_key
