"""`headrace limits`: look at rate limits, and set numbers in place of the code's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from headrace.cli.asking import actor, ask
from headrace.cli.options import Reason
from headrace.cli.output import Json, print_json, print_table

if TYPE_CHECKING:
    from headrace.app import Headrace
    from headrace.store.rate_limits import LimitStatus

group = typer.Typer(help="Look at rate limits, and set their numbers.", rich_markup_mode=None)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The name in the code.")]
Tenant = Annotated[
    str, typer.Option("--tenant", help="Only this tenant's; all others' if left out.")
]
Clear = Annotated[bool, typer.Option("--clear", help="Leave all numbers to the code again.")]
COLUMNS = (
    "limit",
    "tenant",
    "requests",
    "tokens",
    "left",
    "held_until",
    "slots",
    "set_by",
    "reason",
)


@group.command("list")
def list_(as_json: Json = False) -> None:
    """List the limits that were used in the last week or set, with what is left."""
    limits = ask(lambda app: app.quotas.list_limits())
    if as_json:
        print_json(limits)
        return
    print_table([_row(limit) for limit in limits], COLUMNS)


@group.command("set")
def set_(
    name: Name,
    *,
    tenant: Tenant = "",
    requests: Annotated[float | None, typer.Option(help="Requests in --per.")] = None,
    tokens: Annotated[float | None, typer.Option(help="Tokens in --per.")] = None,
    per: Annotated[
        str | None, typer.Option("--per", metavar="TIME", help="For which those are: 60s, 1m, 1d.")
    ] = None,
    burst: Annotated[
        str | None,
        typer.Option(
            "--burst", metavar="TIME", help="The bucket holds what flows in during this time."
        ),
    ] = None,
    concurrent: Annotated[int | None, typer.Option(help="Calls at a time.")] = None,
    clear: Clear = False,
    reason: Reason = None,
) -> None:
    """Set numbers of a limit, from the next call on; those left out are the code's."""
    from headrace.cli.parsing import read_seconds

    per_s, burst_s = read_seconds("--per", per), read_seconds("--burst", burst)
    given = (requests, tokens, per, burst, concurrent)
    if clear and any(number is not None for number in given):
        raise typer.BadParameter("--clear takes no numbers")

    async def change(app: Headrace) -> None:
        quotas = app.quotas
        if clear:
            cleared = await quotas.clear_limit(name, tenant=tenant, actor=actor(), reason=reason)
            typer.echo(f"{name} has the code's numbers" if cleared else f"{name} was not set")
            return
        await quotas.set_limit(
            name, tenant=tenant, requests=requests, tokens=tokens, per_s=per_s, burst_s=burst_s,
            concurrent=concurrent, actor=actor(), reason=reason,
        )  # fmt: skip
        typer.echo(f"{name} is set")

    ask(change)


def _row(limit: LimitStatus) -> dict[str, object]:
    left = [
        f"{number:,.0f} {what}"
        for number, what in ((limit.requests_left, "requests"), (limit.tokens_left, "tokens"))
        if number is not None
    ]
    return {
        "limit": limit.name,
        "tenant": limit.tenant or None,
        "requests": _rate(limit.requests, limit.per_s),
        "tokens": _rate(limit.tokens, limit.per_s),
        "left": ", ".join(left) or None,
        "held_until": limit.held_until,
        "slots": None if limit.concurrent is None else f"{limit.slots_taken} of {limit.concurrent}",
        "set_by": limit.set_by,
        "reason": limit.reason,
    }


def _rate(amount: float | None, per_s: float | None) -> str | None:
    if amount is None:
        return None
    return f"{amount:,g}" if per_s is None else f"{amount:,g} in {per_s:g} s"
