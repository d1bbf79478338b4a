"""`headrace migrate`: the schema of the database."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.cli.exits import ExitCode
from headrace.cli.output import Json, print_json, print_table
from headrace.cli.running import run_async

group = typer.Typer(
    help="Bring the database up to the schema of this version.",
    rich_markup_mode=None,
    invoke_without_command=True,
)


@group.callback()
def migrate(
    context: typer.Context,
    as_sql: Annotated[
        bool, typer.Option("--print", help="Print the whole schema as SQL for psql; do nothing.")
    ] = False,
) -> None:
    """Bring the database up to the schema of this version; does nothing where it has it."""
    if context.invoked_subcommand is not None:
        return
    if as_sql:
        from headrace.store.migrate import print_sql

        typer.echo(print_sql(), nl=False)
        return
    run_async(_migrate())


async def _migrate() -> None:
    from headrace.cli.database import open_place
    from headrace.settings import load_settings
    from headrace.store.migrate import migrate, read_migrations

    async with open_place(load_settings()) as place:
        applied = await migrate(place.direct_dsn)
    for migration in applied:
        typer.echo(f"applied {migration.version:04}_{migration.name}")
    if not applied:
        typer.echo(f"the schema is at {len(read_migrations())}: nothing to do")


@group.command()
def status(as_json: Json = False) -> None:
    """List the migrations of this version, and whether the database has them."""
    rows = run_async(_status())
    if as_json:
        print_json(rows)
    else:
        print_table(rows, ("version", "name", "state"))
    if any(row["state"] == "missing" for row in rows):
        raise typer.Exit(ExitCode.CHECK_FAILED)


async def _status() -> list[dict[str, object]]:
    from headrace.cli.database import open_place
    from headrace.settings import load_settings
    from headrace.store.migrate import pending, read_migrations
    from headrace.store.pool import connect

    async with open_place(load_settings()) as place:
        connection = await connect(place.direct_dsn, name="headrace migrate status")
        try:
            missing = {migration.version for migration in await pending(connection)}
        finally:
            await connection.close()
    return [
        {
            "version": migration.version,
            "name": migration.name,
            "state": "missing" if migration.version in missing else "applied",
        }
        for migration in read_migrations()
    ]
