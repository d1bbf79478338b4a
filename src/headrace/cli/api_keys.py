"""`headrace api-keys`: who may use the HTTP API, without an identity provider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from headrace.cli.asking import actor
from headrace.cli.options import Limit, Reason
from headrace.cli.output import Json, print_json, print_table
from headrace.cli.running import run_async

if TYPE_CHECKING:
    from datetime import timedelta

    from headrace.store.api_keys import ApiKey

group = typer.Typer(help="Make, list and revoke keys of the HTTP API.", rich_markup_mode=None)

COLUMNS: Final = (
    "prefix", "tenant", "owner", "scopes", "created_at", "expires_at", "revoked_at", "note",
)  # fmt: skip
LONGEST_DAYS: Final = 3_650
LONGEST_NOTE: Final = 200


@group.command()
def create(
    *,
    tenant: Annotated[str, typer.Option("--tenant", help="Of its holder.")],
    owner: Annotated[
        str, typer.Option("--owner", help="Its holder: whose jobs it submits and sees.")
    ],
    scopes: Annotated[
        str,
        typer.Option(
            "--scopes",
            help="What it may do: jobs:read, jobs:write, tenant:admin, operator; with commas.",
        ),
    ] = "jobs:read,jobs:write",
    expires: Annotated[
        str, typer.Option("--expires", metavar="TIME", help="It ends after: 12h, 90d.")
    ] = "90d",
    note: Annotated[str | None, typer.Option("--note", help="What it is for.")] = None,
    as_json: Json = False,
) -> None:
    """Make a key and print it: it is shown this once, and stored as a hash only."""
    from headrace.client.options import check_text

    check_text("--tenant", tenant)
    check_text("--owner", owner)
    if note is not None:
        check_text("--note", note, LONGEST_NOTE)
    key, made = run_async(_create(tenant, owner, _scopes(scopes), _life(expires), note))
    if as_json:
        print_json({"key": key, **_row(made)})
        return
    typer.echo(key)
    typer.echo(
        f"{made.prefix} is for {owner} of {tenant} until {made.expires_at:%Y-%m-%d %H:%M} UTC. "
        "Keep it now: it is not shown again.",
        err=True,
    )


@group.command("list")
def list_(
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only of this tenant.")] = None,
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """List keys, the newest first; those that ended too."""
    rows = [_row(key) for key in run_async(_list(tenant, limit))]
    if as_json:
        print_json(rows)
    else:
        print_table(rows, COLUMNS)


@group.command()
def revoke(
    prefix: Annotated[str, typer.Argument(help="Its prefix, as `list` shows it.")],
    reason: Reason = None,
) -> None:
    """End a key: within a minute no process accepts it any more."""
    run_async(_revoke(prefix, reason))
    typer.echo(f"{prefix} is revoked")


async def _create(
    tenant: str, owner: str, scopes: list[str], life: timedelta, note: str | None
) -> tuple[str, ApiKey]:
    from headrace.cli.database import open_connection
    from headrace.settings import load_settings
    from headrace.store.api_keys import create_api_key

    async with open_connection(load_settings()) as connection:
        return await create_api_key(
            connection,
            tenant=tenant,
            owner=owner,
            scopes=scopes,
            life=life,
            by=actor(),
            note=note,
        )


async def _list(tenant: str | None, limit: int) -> list[ApiKey]:
    from headrace.cli.database import open_connection
    from headrace.settings import load_settings
    from headrace.store.api_keys import list_api_keys

    async with open_connection(load_settings()) as connection:
        return await list_api_keys(connection, tenant=tenant, limit=limit)


async def _revoke(prefix: str, reason: str | None) -> None:
    from headrace.cli.database import open_connection
    from headrace.settings import load_settings
    from headrace.store.api_keys import revoke_api_key

    async with open_connection(load_settings()) as connection:
        await revoke_api_key(connection, prefix, by=actor(), reason=reason)


def _scopes(given: str) -> list[str]:
    from headrace.errors import OptionError
    from headrace.web.auth.identity import Scope

    names = [name.strip() for name in given.split(",")]
    unknown = [name for name in names if name not in list(Scope)]
    if unknown:
        raise OptionError("--scopes", f"{unknown[0]!r} is none; give some of {', '.join(Scope)}")
    return names


def _life(given: str) -> timedelta:
    from datetime import timedelta

    from headrace.cli.parsing import read_seconds
    from headrace.errors import OptionError

    life = timedelta(seconds=read_seconds("--expires", given) or 0)
    if not timedelta(0) < life <= timedelta(days=LONGEST_DAYS):
        raise OptionError("--expires", f"{given!r} is too short or too long; give 1m to 3650d")
    return life


def _row(key: ApiKey) -> dict[str, object]:
    from dataclasses import asdict

    return asdict(key)
