"""Serving the API: uvicorn, with the limits that an open port needs."""

from __future__ import annotations

import asyncio
import errno
import gc
import socket
from typing import TYPE_CHECKING, Any, Final, cast

import uvicorn

from headrace.errors import Problem, SettingsError
from headrace.web.protocol import GuardedProtocol, sweep_connections

if TYPE_CHECKING:
    from fastapi import FastAPI

    from headrace.settings import Settings
    from headrace.web.state import Service

KEEP_ALIVE_S: Final = 30
SHUTDOWN_S: Final = 30
OF_PORTS: Final = (errno.EADDRINUSE, errno.EACCES)
BACKLOG: Final = 2048
"""Connections that wait to be taken, as uvicorn has it."""
MOST_CONNECTIONS: Final = 5_000
"""More are answered 503; each takes 50 KiB."""

GC_THRESHOLD: Final = 50_000
"""Objects between two collections: a request makes some dozens, and leaves no cycles behind."""


class ApiServer(uvicorn.Server):
    """A server that also looks after the connections that send nothing."""

    async def serve_on(self, listener: socket.socket) -> None:
        """Serve until `stop`, and leave signals to whoever else is in the process.

        Args:
            listener: Bound, so that an address which is taken is known before.
        """
        await self._serve([listener])

    def stop(self) -> None:
        """Let requests end, and then `serve_on`; a second call leaves them no time."""
        self.force_exit, self.should_exit = self.should_exit, True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        await super().startup(sockets)
        self._sweep = asyncio.create_task(
            sweep_connections(
                self.server_state.connections, self.config.limit_concurrency or MOST_CONNECTIONS
            ),
            name="headrace connections",
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let requests end, and close."""
        self._sweep.cancel()
        await asyncio.gather(self._sweep, return_exceptions=True)
        self._end_streams()
        await super().shutdown(sockets)

    def _end_streams(self) -> None:
        """Event streams go on for minutes: they are ended, and their clients come back."""
        service: Service = cast("FastAPI", self.config.app).state.service
        service.hub.end_streams()


def listen(settings: Settings) -> socket.socket:
    """A socket that listens at the address of the settings.

    Raises:
        SettingsError: The address cannot be used, or is taken.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)
    except OSError as error:
        name = "HEADRACE_PORT" if error.errno in OF_PORTS else "HEADRACE_HOST"
        reason = str(error.strerror).partition(" (")[0]  # which says the address once more
        problem = f"{settings.host}:{settings.port} cannot be used: {reason}; give another"
        raise SettingsError([Problem(name, problem)]) from None


def spare_loaded() -> None:
    """Tell the garbage collector that what this process has loaded by now stays.

    Else it looks through all of it several times a second under load, for 50 ms each time, in which
    every request waits. For a process that does nothing but serve.
    """
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 50)


def make_server(api: FastAPI, settings: Settings, **more: Any) -> ApiServer:
    """A server of an API at the address of the settings; nothing listens before it runs.

    Args:
        api: What it serves.
        settings: Its address, and the proxies that it believes.
        more: Options of uvicorn in place of these.
    """
    options: dict[str, Any] = {
        "host": settings.host,
        "port": settings.port,
        "http": GuardedProtocol,
        "ws": "none",
        "log_config": None,  # our own lines are configured, and uvicorn's come out through them
        "access_log": False,
        "lifespan": "on",
        "server_header": False,
        "forwarded_allow_ips": list(settings.trusted_proxies),
        "timeout_keep_alive": KEEP_ALIVE_S,
        "timeout_graceful_shutdown": SHUTDOWN_S,
        "limit_concurrency": MOST_CONNECTIONS,
        **more,
    }
    return ApiServer(uvicorn.Config(api, **options))
