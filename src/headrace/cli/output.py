"""What commands print: tables for people, JSON for programs."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headrace.client.operations import Page

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def print_json(value: object) -> None:
    """Print a value as indented JSON; times as ISO 8601, ids as text."""
    import orjson

    options = orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS
    typer.echo(orjson.dumps(value, default=str, option=options).decode())


def print_table(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, empty: str = "none"
) -> None:
    """Print rows in columns: aligned and bold-headed on a terminal, tab-separated elsewhere.

    Args:
        rows: What to print; a missing or None value is left blank.
        columns: Keys, which are also the titles (with `_` as a space).
        empty: What is said where there is no row.
    """
    if not rows:
        typer.echo(empty, err=not sys.stdout.isatty())
        return
    cells = [[text_of(row.get(column)) for column in columns] for row in rows]
    titles = [column.replace("_", " ") for column in columns]
    if not sys.stdout.isatty():
        for line in (titles, *cells):
            typer.echo("\t".join(line))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles[:-1]:
        table.add_column(title, no_wrap=True)  # ids stay whole
    table.add_column(titles[-1], overflow="fold")  # a narrow terminal loses nothing of it
    for line in cells:
        table.add_row(*(Text(cell) for cell in line))  # a Text: user data is no markup
    Console(highlight=False).print(table)


def print_page(
    page: Page[Any], columns: Sequence[str], sources: Mapping[str, str], *, as_json: bool
) -> None:
    """Print a page of a listing, and how to go on where there is more.

    On a terminal, columns in which there is nothing are left out: lines are long enough.

    Args:
        page: The rows, as dataclasses.
        columns: What is shown of each in a table.
        sources: The attributes of columns that are called otherwise.
        as_json: Print everything, as an object with `items` and `next`.
    """
    if as_json:
        print_json({"items": page.items, "next": page.next})
        return
    rows = [
        {column: getattr(item, sources.get(column, column)) for column in columns}
        for item in page.items
    ]
    if sys.stdout.isatty():
        columns = [name for name in columns if any(row[name] is not None for row in rows)]
    print_table(rows, columns)
    if page.next is not None:
        typer.echo(f"there are more: --cursor {page.next}", err=True)


def text_of(value: object) -> str:
    """A value as one line of text; times in UTC to the second."""
    match value:
        case None:
            return ""
        case datetime():
            return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        case list() | tuple():
            return ", ".join(map(text_of, value))
        case bool():
            return "yes" if value else "no"
    return "".join(
        character if character.isprintable() else repr(character)[1:-1] for character in str(value)
    )
