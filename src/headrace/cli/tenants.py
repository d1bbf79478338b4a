"""`headrace tenants`: how many jobs of a tenant may run at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from headrace.cli.asking import actor, ask
from headrace.cli.options import Reason
from headrace.cli.output import Json, print_json, print_table

if TYPE_CHECKING:
    from headrace.app import Headrace

group = typer.Typer(help="Limit how many jobs of a tenant run at once.", rich_markup_mode=None)

COLUMNS = ("tenant", "limit", "running", "blocked", "set_at", "set_by", "reason")


@group.command("list")
def list_(as_json: Json = False) -> None:
    """List the tenants that have a limit."""
    tenants = ask(lambda app: app.list_tenants())
    if as_json:
        print_json(tenants)
        return
    rows = [
        {
            "tenant": tenant.tenant,
            "limit": tenant.concurrency,
            "running": tenant.running,
            "blocked": tenant.blocked,
            "set_at": tenant.set_at,
            "set_by": tenant.set_by,
            "reason": tenant.reason,
        }
        for tenant in tenants
    ]
    print_table(rows, COLUMNS)


@group.command()
def limit(
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="Name of a tenant.")],
    most: Annotated[
        str, typer.Argument(metavar="N", help="Most jobs at once, or none for any number.")
    ],
    reason: Reason = None,
) -> None:
    """Set how many jobs of a tenant run at once, over all workers; it takes effect at once."""
    from headrace.cli.parsing import read_limit

    number = read_limit(most)

    async def set_it(app: Headrace) -> None:
        before = await app.limit_tenant(tenant, number, reason=reason, actor=actor())
        typer.echo(f"{tenant}: {number or 'any number'} at once, {before or 'any number'} before")

    ask(set_it)
