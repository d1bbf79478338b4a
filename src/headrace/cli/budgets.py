"""`headrace budgets`: look at what is spent of budgets, and set amounts in place of the code's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from headrace.cli.asking import actor, ask
from headrace.cli.limits import Clear, Name, Tenant
from headrace.cli.options import Reason
from headrace.cli.output import Json, print_json, print_table

if TYPE_CHECKING:
    from decimal import Decimal

    from headrace.app import Headrace
    from headrace.store.budgets import BudgetStatus

group = typer.Typer(help="Look at budgets, and set their amounts.", rich_markup_mode=None)

COLUMNS = ("budget", "tenant", "window", "tokens", "money", "warned_at", "set_by", "reason")


@group.command("list")
def list_(as_json: Json = False) -> None:
    """List what is spent today, and by jobs that have a budget of their own."""
    budgets = ask(lambda app: app.quotas.list_budgets())
    if as_json:
        print_json(budgets)
        return
    print_table([_row(budget) for budget in budgets], COLUMNS)


@group.command("set")
def set_(
    name: Name,
    *,
    tenant: Tenant = "",
    tokens: Annotated[int | None, typer.Option(help="Tokens in a day, or in a job.")] = None,
    money: Annotated[
        str | None, typer.Option(metavar="AMOUNT", help="Money in a day, or in a job.")
    ] = None,
    clear: Clear = False,
    reason: Reason = None,
) -> None:
    """Set amounts of a budget, from the next call on; those left out are the code's."""
    if clear and (tokens is not None or money is not None):
        raise typer.BadParameter("--clear takes no amounts")

    async def change(app: Headrace) -> None:
        quotas = app.quotas
        if clear:
            cleared = await quotas.clear_budget(name, tenant=tenant, actor=actor(), reason=reason)
            typer.echo(f"{name} has the code's amounts" if cleared else f"{name} was not set")
            return
        await quotas.set_budget(
            name, tenant=tenant, tokens=tokens, money=money, actor=actor(), reason=reason
        )
        typer.echo(f"{name} is set")

    ask(change)


def _row(budget: BudgetStatus) -> dict[str, object]:
    return {
        "budget": budget.name,
        "tenant": budget.tenant or None,
        "window": budget.key,
        "tokens": _part(budget.tokens, budget.tokens_limit),
        "money": _part(budget.money, budget.money_limit),
        "warned_at": budget.warned_at,
        "set_by": budget.set_by,
        "reason": budget.reason,
    }


def _part(spent: Decimal, limit: Decimal | None) -> str | None:
    return None if limit is None else f"{spent:,f} of {limit:,f}"
