"""`headrace search`: asks the library a question."""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Annotated, Final

import typer

from headrace.cli.library import LibraryApp, Owner, Tenant, ask_library
from headrace.cli.options import Api
from headrace.cli.output import Json, print_json, print_table, text_of

if TYPE_CHECKING:
    from headrace.app import Headrace
    from headrace.pipelines.documents import Hit, Library

MOST_LINES: Final = 6
INDENT: Final = "    "
WIDEST: Final = 100
"""Columns: longer lines are hard to read."""


def search(
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="What you want to know.")],
    *,
    app: LibraryApp = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="Most passages.")] = 5,
    documents: Annotated[
        list[str] | None,
        typer.Option("--document", metavar="DOCUMENT", help="Only in this one; may be repeated."),
    ] = None,
    least_score: Annotated[
        float | None,
        typer.Option("--min-score", min=-1, max=1, help="Leave out passages that are less near."),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Show whole passages.")] = False,
    tenant: Tenant = "default",
    owner: Owner = "default",
    api: Api = None,
    as_json: Json = False,
) -> None:
    """Find the passages of an owner's documents that are nearest to a question, nearest first."""

    async def find(_: Headrace, library: Library) -> tuple[list[Hit], str]:
        for document in documents or ():
            await library.document(document, tenant=tenant, owner=owner)  # or there is none
        hits = await library.search(
            question,
            limit=limit,
            least_score=least_score,
            documents=documents or None,
            tenant=tenant,
            owner=owner,
        )
        return hits, "" if hits else await _why_nothing(library, tenant, owner)

    hits, why = ask_library(app, find, api)
    if as_json:
        print_json([{**_fields(hit), "position": hit.position} for hit in hits])
    elif not sys.stdout.isatty():
        rows = [{**_fields(hit), "position": hit.position} for hit in hits]
        print_table(rows, ("score", "name", "position", "document", "text"), empty=why)
    elif hits:
        _print_hits(hits, full=full)
    else:
        typer.echo(why)


def _fields(hit: Hit) -> dict[str, object]:
    from dataclasses import asdict

    return {**asdict(hit), "score": round(hit.score, 4)}


async def _why_nothing(library: Library, tenant: str, owner: str) -> str:
    page = await library.documents(tenant=tenant, owner=owner)
    if not page.documents:
        return "no documents yet: headrace documents add PATH"
    if page.next is None and all(one.generation is None for one in page.documents):
        return "no document can be searched yet: headrace documents list"
    return "nothing found"


def _print_hits(hits: list[Hit], *, full: bool) -> None:
    columns = min(shutil.get_terminal_size().columns, WIDEST)
    for hit in hits:
        score = typer.style(f"{hit.score:.2f}", fg="cyan")
        name = typer.style(text_of(hit.name), bold=True)
        typer.echo(f"{score}  {name}  {hit.position}")
        for line in passage_lines(hit.text, columns, most=None if full else MOST_LINES):
            typer.echo(line)
        typer.echo()


def passage_lines(text: str, columns: int, *, most: int | None) -> list[str]:
    """A passage for a terminal: wrapped, indented, without blank lines.

    Args:
        text: What was found; its control characters are not let through.
        columns: Of the terminal.
        most: Lines after which it is cut; all if left out.
    """
    lines = [
        f"{INDENT}{part}"
        for line in text.splitlines()
        for part in textwrap.wrap(text_of(line.expandtabs()), max(columns - len(INDENT), 20))
    ]
    if most is not None and len(lines) > most:
        return [*lines[: most - 1], f"{lines[most - 1][: columns - 2]} …"]
    return lines
