"""`headrace worker`: runs jobs until it is told to stop."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from headrace.cli.exits import ExitCode
from headrace.cli.options import App, Concurrency, Queues, UntilEmpty
from headrace.cli.running import run_async
from headrace.cli.tracing import tracing
from headrace.errors import InvalidError, Problem, SettingsError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from headrace.app import Headrace
    from headrace.web.push.desk import Desk
    from headrace.worker.lifeline import Lifeline
    from headrace.worker.worker import Worker


NoSupervisor = Annotated[
    bool,
    typer.Option(
        "--no-supervisor", help="One process: whoever started it restarts it when it dies."
    ),
]
Push = Annotated[
    bool,
    typer.Option(
        "--push",
        help="Work only for requests of a Pub/Sub push subscription, at POST /push on the port: "
        "for platforms that start and stop containers with them.",
    ),
]
PortOption = Annotated[
    int | None,
    typer.Option(
        "--port",
        min=1,
        max=65_535,
        help="Answer /health, /ready, /stats and /metrics here; HEADRACE_WORKER_PORT if left "
        "out, and nowhere without that.",
        show_default=False,
    ),
]


def work(
    app: App = None,
    queues: Queues = None,
    concurrency: Concurrency = None,
    until_empty: UntilEmpty = False,
    *,
    no_supervisor: NoSupervisor = False,
    push: Push = False,
    port: PortOption = None,
) -> None:
    """Run jobs until told to stop; SIGTERM or Ctrl-C lets running steps finish."""
    from headrace.cli.loading import find_reference, load_app
    from headrace.cli.logs import tell_unknown_settings
    from headrace.cli.settings import settings_for_worker
    from headrace.telemetry.logs import configure_logs
    from headrace.worker.lifeline import Lifeline
    from headrace.worker.supervisor import supervise

    if push and until_empty:
        raise InvalidError("--push works for as long as requests come; drop --until-empty")
    reference = find_reference(app)
    settings = settings_for_worker(queues, concurrency)
    lifeline = Lifeline.from_environment()
    if lifeline is None and not no_supervisor:
        configure_logs(level=settings.level, style=settings.log_format)
        raise typer.Exit(supervise(sys.argv[1:], settings.timing()))
    loaded = load_app(reference)
    configure_logs(level=loaded.settings.level, style=loaded.settings.log_format)
    tell_unknown_settings()
    chosen = settings.queues if queues else None
    work = (
        _work_for_pushes(loaded, lifeline, chosen, concurrency, port=port, reference=reference)
        if push
        else _work(loaded, lifeline, chosen, concurrency, until_empty=until_empty, port=port)
    )
    code = run_async(work, fast=True)
    _say_ended(lifeline, code)
    raise typer.Exit(code)


async def _work(
    app: Headrace,
    lifeline: Lifeline | None,
    queues: Sequence[str] | None,
    concurrency: int | None,
    *,
    until_empty: bool,
    port: int | None,
) -> int:
    async with tracing(app.settings), app:
        worker = app.worker(queues=queues, concurrency=concurrency)
        if lifeline is not None:
            timing = app.settings.timing()
            lifeline.end_with_parent(timing.shutdown_grace + timing.release)
            worker.on_ready = lifeline.say_ready
        async with _served(app, worker, port or app.settings.worker_port):
            code = await run_until_told(worker, until_empty=until_empty)
    if worker.has_stuck_steps:
        _end_with_steps(lifeline, code)
    return code


async def _work_for_pushes(
    app: Headrace,
    lifeline: Lifeline | None,
    queues: Sequence[str] | None,
    concurrency: int | None,
    *,
    port: int | None,
    reference: str,
) -> int:
    """Answer requests until told to stop; the database may be away when this begins."""
    from headrace.cli.push import open_desk

    opened = open_desk(
        app,
        port or app.settings.worker_port,
        queues=queues,
        concurrency=concurrency,
        reference=reference,
    )
    async with tracing(app.settings), opened as desk:
        if lifeline is not None:
            timing = app.settings.timing()
            lifeline.end_with_parent(timing.shutdown_grace + timing.release)
            lifeline.say_ready()
        code = await run_until_told(desk)
    if desk.has_stuck_steps:
        _end_with_steps(lifeline, code)
    return code


def _end_with_steps(lifeline: Lifeline | None, code: int) -> None:
    """End the process although steps run that will not stop."""
    from headrace.worker.ending import end_process

    _say_ended(lifeline, code)
    end_process(code)


@contextlib.asynccontextmanager
async def _served(app: Headrace, worker: Worker, port: int | None) -> AsyncIterator[None]:
    """Let the worker answer at its port, if it has one, inside an `async with` block."""
    if port is None:
        yield
        return
    try:
        from headrace.web.port import open_port
    except ModuleNotFoundError as error:
        problem = f"needs {error.name}: pip install 'headrace[server]'"
        raise SettingsError([Problem("HEADRACE_WORKER_PORT", problem)]) from None
    async with open_port(app, worker, port):
        yield


def _say_ended(lifeline: Lifeline | None, code: int) -> None:
    if lifeline is not None and code != ExitCode.REPLACE:
        lifeline.say_ended()


async def run_until_told(worker: Worker | Desk, **how: bool) -> int:
    """Run a worker until SIGTERM or Ctrl-C; a second signal ends it at once.

    Returns:
        The worker's exit code; 130 where it ended well after Ctrl-C.
    """
    import asyncio
    import signal

    told: list[int] = []

    def stop(number: int) -> None:
        told.append(number)
        worker.stop()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    code = await worker.run(**how)
    return ExitCode.INTERRUPTED if code == ExitCode.DONE and signal.SIGINT in told else code
