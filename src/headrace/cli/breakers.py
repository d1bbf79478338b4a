"""`headrace breakers`: look at circuit breakers, open and close them."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from headrace.cli.asking import actor, ask
from headrace.cli.options import Limit, Reason
from headrace.cli.output import Json, print_json, print_table

if TYPE_CHECKING:
    from headrace.app import Headrace
    from headrace.store.breakers import BreakerRow, SetBreaker

group = typer.Typer(help="Look at circuit breakers, open and close them.", rich_markup_mode=None)

COLUMNS = ("name", "tenant", "state", "changed_at", "probe_at", "why")
LONGEST_S = 86_400

Name = Annotated[str, typer.Argument(metavar="NAME", help="The breaker's name.")]
Tenant = Annotated[
    str | None,
    typer.Option("--tenant", help="Of this tenant; of all that have one if left out."),
]


@group.command("list")
def list_(limit: Limit = 100, as_json: Json = False) -> None:
    """List breakers that calls have used: those first that are not closed."""
    breakers = ask(lambda app: _read(app, limit))
    if as_json:
        print_json(breakers)
        return
    print_table([asdict(breaker) for breaker in breakers], COLUMNS)


@group.command()
def trip(
    name: Name,
    tenant: Tenant = None,
    time: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="TIME",
            help="Try a call after this time, as 90s or 10m, 1d at most; until it is reset if left "
            "out.",
        ),
    ] = None,
    reason: Reason = None,
) -> None:
    """Open a breaker: no call gets through, and steps wait."""
    open_for = _read_time(time)
    until = "until it is reset" if open_for is None else f"for {open_for.total_seconds():.0f} s"
    for done in ask(lambda app: _set(app, name, "open", tenant, reason, open_for=open_for)):
        typer.echo(f"{_called(name, done)} is open {until}; it was {done.from_state}")


@group.command()
def reset(name: Name, tenant: Tenant = None, reason: Reason = None) -> None:
    """Close a breaker, and forget its failures."""
    for done in ask(lambda app: _set(app, name, "closed", tenant, reason)):
        typer.echo(f"{_called(name, done)} is closed; it was {done.from_state}")


def _read_time(given: str | None) -> timedelta | None:
    from headrace.cli.parsing import read_seconds
    from headrace.errors import OptionError

    seconds = read_seconds("--for", given)
    if seconds is None:
        return None
    if not 1 <= seconds <= LONGEST_S:
        raise OptionError("--for", f"{given!r} is out of range; give 1s to 1d")
    return timedelta(seconds=seconds)


async def _read(app: Headrace, limit: int) -> list[BreakerRow]:
    from headrace.store.breakers import list_breakers

    async with app.connection() as connection:
        return await list_breakers(connection, limit=limit)


async def _set(
    app: Headrace,
    name: str,
    state: Literal["open", "closed"],
    tenant: str | None,
    reason: str | None,
    *,
    open_for: timedelta | None = None,
) -> list[SetBreaker]:
    from headrace.reliability.breakers import change_breaker

    async with app.connection() as connection:
        return await change_breaker(
            connection, name, state, tenant=tenant, open_for=open_for, reason=reason, actor=actor()
        )


def _called(name: str, done: SetBreaker) -> str:
    return f"{name} of {done.tenant}" if done.tenant else name
