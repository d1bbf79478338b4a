"""`headrace api`: serves the HTTP API until it is told to stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from headrace.cli.exits import ExitCode
from headrace.cli.options import App
from headrace.cli.running import run_async
from headrace.cli.tracing import tracing

if TYPE_CHECKING:
    from headrace.app import Headrace


def api(app: App = None) -> None:
    """Serve the HTTP API at HEADRACE_HOST and HEADRACE_PORT; SIGTERM or Ctrl-C ends it.

    It runs no jobs: workers do, see `headrace worker`.
    """
    from headrace.cli.loading import load_app
    from headrace.cli.logs import tell_unknown_settings
    from headrace.telemetry.logs import configure_logs

    loaded = load_app(app)
    configure_logs(level=loaded.settings.level, style=loaded.settings.log_format)
    tell_unknown_settings()
    raise typer.Exit(run_async(_serve(loaded), fast=True))


async def _serve(app: Headrace) -> int:
    from headrace.web.app import create_api
    from headrace.web.serving import listen, make_server, spare_loaded

    async with tracing(app.settings), app:
        server = make_server(create_api(app), app.settings)
        spare_loaded()
        with listen(app.settings) as listener:
            await server.serve([listener])
    return ExitCode.DONE if server.started else ExitCode.CONFIGURATION
