"""`headrace sources`: other systems that submit jobs by message."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from headrace.cli.asking import actor, ask
from headrace.cli.options import Reason
from headrace.cli.output import Json, print_json, print_table

if TYPE_CHECKING:
    from headrace.store.sources import Source

group = typer.Typer(help="Let other systems submit jobs by message.", rich_markup_mode=None)

Name = Annotated[str, typer.Argument(metavar="NAME", help="As its messages give it.")]
COLUMNS: Final = (
    "name", "tenant", "owner", "pipelines", "names_owners", "created_at", "disabled_reason",
)  # fmt: skip


@group.command()
def create(
    name: Name,
    *,
    tenant: Annotated[str, typer.Option("--tenant", help="Whose its jobs are.")],
    pipelines: Annotated[
        str,
        typer.Option("--pipelines", metavar="NAMES", help="Which ones, with commas; * is every."),
    ],
    owner: Annotated[
        str | None, typer.Option("--owner", help="Whose within the tenant; its name if left out.")
    ] = None,
    names_owners: Annotated[
        bool, typer.Option("--names-owners", help="Its messages may name another owner.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Register a system, and print the secret that it signs with: it is shown this once."""
    wanted = [pipeline.strip() for pipeline in pipelines.split(",") if pipeline.strip()]
    made = ask(
        lambda app: app.sources.create(
            name,
            tenant=tenant,
            owner=owner or name,
            pipelines=wanted,
            by=actor(),
            names_owners=names_owners,
        )
    )
    _print_secret(*made, as_json=as_json)


@group.command("list")
def list_(as_json: Json = False) -> None:
    """List the systems that may submit; those that are disabled too."""
    rows = [_row(source) for source in ask(lambda app: app.sources.all())]
    if as_json:
        print_json(rows)
    else:
        print_table(rows, COLUMNS)


@group.command()
def rotate(
    name: Name,
    *,
    overlap: Annotated[
        str,
        typer.Option("--overlap", metavar="TIME", help="So long both secrets are good: 0s to 7d."),
    ] = "1d",
    reason: Reason = None,
    as_json: Json = False,
) -> None:
    """Make another secret, and print it: it is shown this once."""
    from headrace.cli.parsing import read_seconds

    both = timedelta(seconds=read_seconds("--overlap", overlap) or 0)
    made = ask(lambda app: app.sources.rotate(name, overlap=both, by=actor(), reason=reason))
    _print_secret(*made, as_json=as_json)


@group.command()
def disable(
    name: Name,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the audit.")],
) -> None:
    """Take nothing more from a system: its messages go to quarantine."""
    ask(lambda app: app.sources.disable(name, reason=reason, by=actor()))
    typer.echo(f"{name} is disabled")


@group.command()
def enable(name: Name) -> None:
    """Take messages of a system again; what came meanwhile is in quarantine."""
    ask(lambda app: app.sources.enable(name, by=actor()))
    typer.echo(f"{name} is enabled")


def _print_secret(secret: str, source: Source, *, as_json: bool) -> None:
    if as_json:
        print_json({"secret": secret, **_row(source)})
        return
    typer.echo(secret)
    typer.echo(
        f"{source.name} signs its messages with it. Keep it now: it is not shown again.", err=True
    )


def _row(source: Source) -> dict[str, Any]:
    from dataclasses import asdict

    return {name: value for name, value in asdict(source).items() if name != "read_at"}
