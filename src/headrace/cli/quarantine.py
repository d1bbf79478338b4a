"""`headrace quarantine`: messages that were not taken, and what becomes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from headrace.cli.asking import actor, ask
from headrace.cli.options import AppOption, Limit, Reason
from headrace.cli.output import Json, print_json, print_table, text_of

if TYPE_CHECKING:
    from headrace.inbox.verdict import Verdict
    from headrace.store.inbox import Quarantined

group = typer.Typer(help="Messages that were not taken.", rich_markup_mode=None)

Number = Annotated[int, typer.Argument(metavar="NUMBER", help="As `list` shows it.")]
COLUMNS: Final = ("id", "received_at", "source", "reason", "bytes", "redriven_at", "detail")
FIELDS: Final = (
    "id", "message_id", "source", "tenant", "reason", "detail", "bytes", "published_at",
    "received_at", "redriven_at", "redriven_by", "job",
)  # fmt: skip


@group.command("list")
def list_(
    *,
    why: Annotated[
        str | None, typer.Option("--why", help="Put aside for this reason, as unsigned.")
    ] = None,
    source: Annotated[str | None, typer.Option("--source", help="Of this source.")] = None,
    before: Annotated[
        int | None, typer.Option("--before", metavar="NUMBER", help="With smaller numbers.")
    ] = None,
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """List messages that were put aside, the newest first; those taken since, too."""
    found = ask(
        lambda app: app.quarantine.page(reason=why, source=source, before=before, limit=limit)
    )
    rows = [_row(one) for one in found]
    if as_json:
        print_json(rows)
    else:
        print_table(rows, COLUMNS)


@group.command()
def show(
    number: Number,
    *,
    content: Annotated[
        bool, typer.Option("--content", help="Print what it holds, byte for byte, and only that.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show a message: what is wrong with it, and with --content what it holds."""
    found, data = ask(lambda app: app.quarantine.find(number))
    if content:
        typer.echo(data, nl=False)
        return
    if as_json:
        print_json(_row(found))
        return
    for name in FIELDS:
        value = getattr(found, name)
        if value is not None:
            typer.echo(f"{name.replace('_', ' '):<14} {text_of(value)}")
    for name, text in found.attributes.items():
        typer.echo(f"{'attribute':<14} {text_of(name)} = {text_of(text)}")


@group.command()
def redrive(number: Number, *, app: AppOption = None, reason: Reason = None) -> None:
    """Take a message after all, as if it came now: once what was wrong is put right."""
    from headrace.cli.running import run_async

    verdict = run_async(_redrive(number, app, reason))
    typer.echo(f"{verdict.outcome}: {verdict.job}" if verdict.job else str(verdict.outcome))


@group.command()
def delete(number: Number, *, reason: Reason = None) -> None:
    """Remove a message for good."""
    ask(lambda app: app.quarantine.delete(number, by=actor(), reason=reason))
    typer.echo(f"{number} is deleted")


async def _redrive(number: int, app: str | None, reason: str | None) -> Verdict:
    from headrace.cli.loading import load_app

    async with load_app(app) as loaded:
        return await loaded.quarantine.redrive(number, by=actor(), reason=reason)


def _row(found: Quarantined) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(found)
