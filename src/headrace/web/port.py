"""The worker's own HTTP port: health, readiness, metrics and the rest, beside its jobs.

It runs in the worker's loop, so that a loop that stands still does not answer. When it fails, as
where the port is taken, this is told and it is tried again: the worker goes on without it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Final

from headrace.store.failures import Backoff
from headrace.telemetry.events import emit
from headrace.telemetry.worker_events import PortFailed, PortOpened
from headrace.web.app import create_push, create_service
from headrace.web.push.guard import make_pusher
from headrace.web.serving import make_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from fastapi import FastAPI

    from headrace.app import Headrace
    from headrace.web.push.desk import Desk
    from headrace.web.serving import ApiServer
    from headrace.worker.worker import Worker

SHUTDOWN_S: Final = 1
"""What is under way when the worker has ended may take so long."""
FIRST_RETRY_S: Final = 1.0
LAST_RETRY_S: Final = 30.0


class Port:
    """Serves what is told of one worker.

    Args:
        app: The worker's.
        make: Makes what it serves.
        port: Where; 0 takes a free one.
        shutdown_s: What is under way when it is to end may take so long.
    """

    def __init__(
        self, app: Headrace, make: Callable[[], FastAPI], port: int, *, shutdown_s: int = SHUTDOWN_S
    ) -> None:
        self._app, self._make, self._asked = app, make, port
        self._shutdown_s = shutdown_s
        self._backoff = Backoff(FIRST_RETRY_S, LAST_RETRY_S)
        self._problem: str | None = None
        self._server: ApiServer | None = None
        self.number: int | None = None
        """Where it listens; None while it does not."""

    async def run(self) -> None:
        """Serve until cancelled; a failure is told, and it begins again."""
        while True:
            try:
                await self._serve()
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - its end is not the worker's
                problem = f"{type(error).__name__}: {error}"
            else:
                problem = "it ended by itself"
            finally:
                self.number = None
            await asyncio.sleep(self._told(problem))

    async def _serve(self) -> None:
        settings = self._app.settings
        server = self._server = make_server(
            self._make(), settings, timeout_graceful_shutdown=self._shutdown_s
        )
        with await asyncio.to_thread(_listen, settings.host, self._asked) as listener:
            self.number = listener.getsockname()[1]
            self._problem = None
            self._backoff.reset()
            emit(PortOpened(host=settings.host, port=self.number))
            serving = asyncio.ensure_future(server.serve_on(listener))
            try:
                await asyncio.shield(serving)
            except asyncio.CancelledError:
                server.stop()
                await serving
                raise

    def _told(self, problem: str) -> float:
        """Tell of a failure, once for each reason; seconds to wait."""
        retry_in_s = self._backoff.next_s()
        if problem != self._problem:
            emit(PortFailed(error=problem, retry_in_s=retry_in_s))
        self._problem = problem
        return retry_in_s


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=128)


@contextlib.asynccontextmanager
async def open_port(app: Headrace, worker: Worker, port: int) -> AsyncIterator[Port]:
    """Serve a worker's port inside an `async with` block, which may begin before it listens."""
    async with _open(Port(app, lambda: create_service(app, worker), port)) as served:
        yield served


@contextlib.asynccontextmanager
async def open_push(app: Headrace, desk: Desk, port: int) -> AsyncIterator[Port]:
    """As `open_port`, for a worker that is woken by requests.

    Raises:
        SettingsError: Nobody may push.
    """
    make_pusher(app.settings)
    async with _open(Port(app, lambda: create_push(app, desk), port)) as served:
        yield served


@contextlib.asynccontextmanager
async def _open(served: Port) -> AsyncIterator[Port]:
    running = asyncio.create_task(served.run(), name="headrace port")
    try:
        yield served
    finally:
        running.cancel()
        await asyncio.wait({running})
