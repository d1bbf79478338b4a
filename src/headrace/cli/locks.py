"""`headrace locks`: who holds what, and how to take it away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from headrace.cli.asking import actor, ask
from headrace.cli.options import Limit, Reason
from headrace.cli.output import Json, print_json, print_table

if TYPE_CHECKING:
    from headrace.app import Headrace
    from headrace.store.locks import HeldLock

group = typer.Typer(help="Look at locks, and take them away.", rich_markup_mode=None)

COLUMNS: Final = (
    "key", "tenant", "token", "worker", "job", "step", "reason", "acquired_at", "expires_at",
)  # fmt: skip


@group.command("list")
def list_(
    *,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Of this customer.")] = None,
    prefix: Annotated[
        str | None, typer.Option("--prefix", help="Only keys that begin with this.")
    ] = None,
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """List locks that are held, by customer and key."""
    held = ask(lambda app: app.locks.list(tenant=tenant, prefix=prefix, limit=limit))
    if as_json:
        print_json(held)
        return
    rows = [
        {name: getattr(lock, name) for name in COLUMNS} | {"worker": lock.worker or lock.holder}
        for lock in held
    ]
    print_table(rows, COLUMNS)


@group.command()
def release(
    key: Annotated[str, typer.Argument(metavar="KEY", help="As `list` shows it.")],
    *,
    tenant: Annotated[str, typer.Option("--tenant", help="Whose key it is.")] = "default",
    reason: Reason = None,
) -> None:
    """Take a lock from its holder, who may still be at work: it hears of that when it renews."""
    held = ask(lambda app: _release(app, key, tenant, reason))
    typer.echo(f"{key} is free; it was held by {held.who}, with the token {held.token}")


async def _release(app: Headrace, key: str, tenant: str, reason: str | None) -> HeldLock:
    from headrace.reliability.locks import take_away

    async with app.connection() as connection:
        return await take_away(connection, key, tenant=tenant, actor=actor(), reason=reason)
