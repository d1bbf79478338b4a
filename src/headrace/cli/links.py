"""`headrace jobs signal-url`: a link behind which a person answers."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.cli.options import AppOption
from headrace.cli.running import run_async


def signal_url(
    job: Annotated[str, typer.Argument(metavar="JOB", help="Id of a job.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="A signal of its steps.")],
    *,
    valid: Annotated[
        str | None,
        typer.Option(
            "--valid",
            metavar="TIME",
            help="How long: 10m, 2h, 1d; as long as the signal is waited for if left out.",
        ),
    ] = None,
    title: Annotated[str, typer.Option("--title", help="What is to be decided, one line.")] = "",
    text: Annotated[str, typer.Option("--text", help="More on it.")] = "",
    app: AppOption = None,
) -> None:
    """Print a link behind which a person answers a signal, once and without an account."""
    from headrace.cli.loading import load_app
    from headrace.cli.parsing import read_seconds

    seconds = read_seconds("--valid", valid)
    loaded = load_app(app)

    async def make() -> str:
        async with loaded:
            return await loaded.signal_url(job, name, valid=seconds, title=title, text=text)

    typer.echo(run_async(make()))
