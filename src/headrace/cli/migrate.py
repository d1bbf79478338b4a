"""`headrace migrate`: the schema of the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from headrace.cli.exits import ExitCode
from headrace.cli.options import AppOption
from headrace.cli.output import Json, print_json, print_table
from headrace.cli.running import run_async

if TYPE_CHECKING:
    from headrace.store.migrate import Series

group = typer.Typer(
    help="Bring the database up to the schema of this version.",
    rich_markup_mode=None,
    invoke_without_command=True,
)


@group.callback()
def migrate(
    context: typer.Context,
    app: AppOption = None,
    as_sql: Annotated[
        bool, typer.Option("--print", help="Print the whole schema as SQL for psql; do nothing.")
    ] = False,
) -> None:
    """Bring the database up to the schema of this version; does nothing where it has it.

    Where there is an APP, its pipelines' own tables belong to it.
    """
    if context.invoked_subcommand is not None:
        return
    every = _every_series(app)
    if as_sql:
        from headrace.store.migrate import print_sql

        typer.echo(print_sql(every), nl=False)
        return
    run_async(_migrate(every))


async def _migrate(every: tuple[Series, ...]) -> None:
    from headrace.cli.database import open_place
    from headrace.settings import load_settings
    from headrace.store.migrate import migrate, read_migrations

    async with open_place(load_settings()) as place:
        for series in every:
            applied = await migrate(place.direct_dsn, series)
            for migration in applied:
                typer.echo(f"applied {series.label(migration)}")
            if not applied:
                version = len(read_migrations(series.folder))
                owner = "" if series.pipeline is None else f" of pipeline {series.pipeline}"
                typer.echo(f"the schema{owner} is at {version}: nothing to do")


@group.command()
def status(app: AppOption = None, as_json: Json = False) -> None:
    """List the migrations of this version, and whether the database has them."""
    rows = run_async(_status(_every_series(app)))
    if as_json:
        print_json(rows)
    else:
        print_table(rows, ("pipeline", "version", "name", "state"))
    if any(row["state"] == "missing" for row in rows):
        raise typer.Exit(ExitCode.CHECK_FAILED)


async def _status(every: tuple[Series, ...]) -> list[dict[str, object]]:
    from headrace.cli.database import open_place
    from headrace.settings import load_settings
    from headrace.store.migrate import pending, read_migrations
    from headrace.store.pool import connect

    async with open_place(load_settings()) as place:
        connection = await connect(place.direct_dsn, name="headrace migrate status")
        try:
            missing = {series: set(await pending(connection, series)) for series in every}
        finally:
            await connection.close()
    return [
        {
            "pipeline": series.pipeline,
            "version": migration.version,
            "name": migration.name,
            "state": "missing" if migration in missing[series] else "applied",
        }
        for series in every
        for migration in read_migrations(series.folder)
    ]


def _every_series(reference: str | None) -> tuple[Series, ...]:
    """The engine's migrations, and those of the APP where one is given or configured."""
    from headrace.cli.loading import has_app, load_app
    from headrace.store.migrate import ENGINE

    return load_app(reference).migrations if has_app(reference) else (ENGINE,)
