"""Serving the API: uvicorn, with the limits that an open port needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import uvicorn

from headrace.web.app import create_api

if TYPE_CHECKING:
    from headrace.app import Headrace

KEEP_ALIVE_S: Final = 30
SHUTDOWN_S: Final = 30


def make_server(app: Headrace) -> uvicorn.Server:
    """A server of the API at the address of the settings; nothing listens before it runs.

    Args:
        app: Whose API it is.
    """
    settings = app.settings
    config = uvicorn.Config(
        create_api(app),
        host=settings.host,
        port=settings.port,
        log_config=None,  # our own lines are configured, and uvicorn's come out through them
        access_log=False,
        lifespan="on",
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    return uvicorn.Server(config)
