"""`headrace workers`: look at workers, and end them in good order."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from headrace.cli.asking import ask
from headrace.cli.options import Limit
from headrace.cli.output import Json, print_json, print_table

group = typer.Typer(help="Look at workers, and end them in good order.", rich_markup_mode=None)

COLUMNS = (
    "id", "state", "host", "pid", "version", "queues", "running", "concurrency", "presence",
    "started_at", "heartbeat_at", "pipelines",
)  # fmt: skip
GONE = frozenset({"lost", "stopped"})


@group.command("list")
def list_(
    everyone: Annotated[bool, typer.Option("--all", help="Also those that ended.")] = False,
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """List the workers that live, newest first."""
    workers = [
        worker
        for worker in ask(lambda app: app.list_workers(limit=limit))
        if everyone or worker.state not in GONE
    ]
    if as_json:
        print_json(workers)
        return
    rows = [
        {**asdict(worker), "pipelines": [f"{name} {of}" for name, of in worker.carries.items()]}
        for worker in workers
    ]
    print_table(rows, COLUMNS)


@group.command()
def drain(
    workers: Annotated[
        list[int] | None, typer.Argument(metavar="[WORKER]...", help="Numbers of workers.")
    ] = None,
    everyone: Annotated[bool, typer.Option("--all", help="Every worker that lives.")] = False,
) -> None:
    """Ask workers to take nothing new, finish what they run, and end."""
    from headrace.errors import OptionError

    if bool(workers) == everyone:
        raise OptionError("WORKER", "name workers, or give --all")
    asked = ask(lambda app: app.drain_workers(workers or None))
    for worker in asked:
        typer.echo(f"worker {worker} is draining")
    missing = sorted(set(workers or ()) - set(asked))
    if missing:
        numbers = ", ".join(map(str, missing))
        raise OptionError("WORKER", f"{numbers}: none is alive; see headrace workers list")
    if not asked:
        typer.echo("no worker is alive", err=True)
