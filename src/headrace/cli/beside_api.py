"""The HTTP API inside `headrace dev`, beside the worker, with a token for the developer."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import typer

from headrace.cli.running import beside
from headrace.errors import SettingsError

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable

    from headrace.app import Headrace
    from headrace.settings import Settings
    from headrace.worker.worker import Worker


@contextlib.asynccontextmanager
async def developers_api(app: Headrace) -> AsyncIterator[Callable[[Worker], None]]:
    """Serve the API of an app inside an `async with` block, and tell how to use it.

    What the block is given lets the API tell of the worker beside it.

    Where HEADRACE_PORT is not set and its default is taken, another port is. Where the extra
    `server` is not installed, it is told so, and nothing is served.

    Raises:
        SettingsError: The address of the settings cannot be used.
    """
    try:
        from headrace.web.app import create_api
        from headrace.web.auth.verifier import make_development_token, make_verifier
        from headrace.web.serving import make_server
    except ModuleNotFoundError as error:
        typer.echo(
            f"headrace: no API, because {error.name} is not installed: "
            "pip install 'headrace[server]'",
            err=True,
        )
        yield lambda _: None
        return
    from headrace.cli.trying import lines_to_try

    token = make_development_token()
    api = create_api(app, verifier=make_verifier(app, development_token=token))
    with _listen(app.settings) as listener:
        # A stream that somebody follows would hold up the end of the command.
        server = make_server(api, app.settings, timeout_graceful_shutdown=1)
        app.links.served_at = _address_of(listener)
        typer.echo(lines_to_try(app, app.links.served_at, token), err=True)

        def stop() -> None:
            # Called twice, but a server that is told twice leaves its own end out.
            if not server.should_exit:
                server.stop()

        async with beside(server.serve_on(listener), stop=stop):
            yield api.state.service.monitor.attend


def _listen(settings: Settings) -> socket.socket:
    from headrace.web.serving import listen

    try:
        return listen(settings)
    except SettingsError:
        if "port" in settings.model_fields_set:
            raise
    return listen(settings.model_copy(update={"port": 0}))


def _address_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - where others reach it, this machine does too
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
