"""`headrace dev`: everything that a developer needs, in one process."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, TextIO, cast

import typer

from headrace.cli.beside_api import developers_api
from headrace.cli.logs import log_to, tell_unknown_settings
from headrace.cli.options import App, Concurrency, Queues, UntilEmpty
from headrace.cli.running import run_async
from headrace.cli.tracing import tracing
from headrace.cli.worker import run_until_told
from headrace.errors import Problem, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.app import Headrace


def dev(
    app: App = None,
    queues: Queues = None,
    concurrency: Concurrency = None,
    until_empty: UntilEmpty = False,
) -> None:
    """Run a worker and the HTTP API on the embedded database, and show what they do.

    Where HEADRACE_DATABASE_URL is set, that database is used, and brought up to date. All queues
    of the APP's pipelines are served. The API is at HEADRACE_HOST and HEADRACE_PORT; a token for
    it, which this process alone accepts, is printed with lines to try it.

    Without an APP it is the one that headrace brings, with `documents` and `consensus`.
    """
    from headrace.cli.loading import has_app, load_app
    from headrace.cli.settings import settings_for_worker

    os.environ.setdefault("HEADRACE_ENV", "development")
    settings = settings_for_worker(queues, concurrency)
    if not has_app(app):
        from headrace.cli.library import check_extras
        from headrace.cli.shipped import EVERYTHING

        brought = "`documents` and `consensus`"
        typer.echo(f"headrace: no APP is named: running the one with {brought}", err=True)
        check_extras()
        app = EVERYTHING
    loaded = load_app(app)
    if loaded.settings.env == "production":
        advice = "is production: run `headrace api` and `headrace worker` there"
        raise SettingsError([Problem("HEADRACE_ENV", advice)])
    own = {pipeline.queue for pipeline in loaded.pipelines.values()}
    served = settings.queues if queues else tuple(sorted({*own, *loaded.settings.queues}))
    raise typer.Exit(run_async(_dev(loaded, served, concurrency, until_empty), fast=True))


async def _dev(
    app: Headrace, queues: tuple[str, ...], concurrency: int | None, until_empty: bool
) -> int:
    async with tracing(app.settings), app:
        where = "the embedded database" if app.settings.embedded else "the database of the settings"
        typer.echo(f"headrace: serving {', '.join(queues)} on {where}", err=True)
        async with developers_api(app) as tell_of:
            with _shown(app):
                tell_unknown_settings()
                worker = app.worker(queues=queues, concurrency=concurrency)
                tell_of(worker)
                return await run_until_told(worker, until_empty=until_empty)


@contextlib.contextmanager
def _shown(app: Headrace) -> Iterator[None]:
    """On a terminal a board with log lines above it, elsewhere log lines alone."""
    from headrace.telemetry.events import Level

    if not sys.stdout.isatty():
        with log_to(sys.stdout, app.settings, least=Level.DEBUG):
            yield
        return
    from headrace.cli.board import Board, ConsoleStream

    with (
        Board(sys.stdout) as board,
        log_to(cast("TextIO", ConsoleStream(board.console)), app.settings, least=Level.INFO),
    ):
        yield
