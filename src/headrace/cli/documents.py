"""`headrace documents`: what is in the library, and what goes in and out."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from headrace.cli import adding, advancing
from headrace.cli.exits import ExitCode, exit_code_of
from headrace.cli.library import DocumentId, LibraryApp, Owner, Tenant, ask_library
from headrace.cli.options import Api, Cursor, Limit
from headrace.cli.output import Json, print_json, print_table, text_of

if TYPE_CHECKING:
    from headrace.app import Headrace
    from headrace.client.status import JobStatus
    from headrace.pipelines.documents import DocumentPage, DocumentStatus, Library

group = typer.Typer(
    help="Files that are made searchable.", rich_markup_mode=None, no_args_is_help=True
)
group.command("add")(adding.add)
group.command("advance")(advancing.advance)

COLUMNS: Final = ("name", "kind", "size", "stage", "%", "chunks", "id")
NONE: Final = "no documents yet: headrace documents add PATH"
MOST_NAME: Final = 40
"""Characters of a name in a table on a terminal."""
PREVIEW: Final = 100
"""Characters of a chunk that are shown on a terminal."""


@group.command("list")
def list_(
    *,
    app: LibraryApp = None,
    tenant: Tenant = "default",
    owner: Owner = "default",
    limit: Limit = 30,
    cursor: Cursor = None,
    api: Api = None,
    as_json: Json = False,
) -> None:
    """List an owner's documents, newest first."""

    async def find(_: Headrace, library: Library) -> DocumentPage:
        return await library.documents(tenant=tenant, owner=owner, limit=limit, cursor=cursor)

    page = ask_library(app, find, api)
    if as_json:
        print_json({"items": page.documents, "next": page.next})
        return
    print_table([_row(document) for document in page.documents], COLUMNS, empty=NONE)
    if page.next is not None:
        typer.echo(f"there are more: --cursor {page.next}", err=True)


def _row(document: DocumentStatus) -> dict[str, object]:
    return {
        "name": _shortened(document.name, MOST_NAME),
        "kind": document.kind,
        "size": size_text(document.bytes),
        "stage": document.stage,
        "%": f"{document.progress:.0f}",
        "chunks": document.chunks_total,
        "id": document.id,
    }


@group.command()
def show(
    document: DocumentId,
    *,
    app: LibraryApp = None,
    tenant: Tenant = "default",
    owner: Owner = "default",
    api: Api = None,
    as_json: Json = False,
) -> None:
    """Show a document: how far it is, what is wrong with it, the steps of its job."""

    async def find(app: Headrace, library: Library) -> tuple[DocumentStatus, JobStatus | None]:
        found = await library.document(document, tenant=tenant, owner=owner)
        return found, await _job_of(app, found)

    found, job = ask_library(app, find, api)
    if as_json:
        print_json({"document": found, "job": job})
    else:
        _print_document(found)
        _print_job(job)


async def _job_of(app: Headrace, document: DocumentStatus) -> JobStatus | None:
    from headrace.errors import JobNotFoundError

    if document.job is None:
        return None
    try:
        return await app.status(document.job)
    except JobNotFoundError:  # it ended long ago and is not kept any more
        return None


def _print_document(document: DocumentStatus) -> None:
    fields = {
        "kind": f"{document.kind}, {size_text(document.bytes)}",
        "stage": document.stage,
        "progress": f"{document.progress:.0f} %",
        "problem": None if document.problem is None else document.problem.message,
        "pages": document.pages,
        "chunks": f"{document.chunks_done:,} of {document.chunks_total:,} stored, "
        f"{document.embeds_done:,} embedded",
        "generation": document.generation,
        "space": getattr(document, "space", None),  # an API tells less
        "sha256": document.sha256,
        "created at": document.created_at,
        "started at": document.processing_started_at,
        "ended at": document.processing_ended_at,
        "job": document.job,
    }
    typer.echo(f"{text_of(document.name)}  {document.id}")
    for name, value in fields.items():
        if value is not None:
            typer.echo(f"  {name:<16} {text_of(value)}")


def _print_job(job: JobStatus | None) -> None:
    from headrace.cli.live import describe_step

    if job is not None:
        typer.echo()
        rows = [{"step": step.name, "state": describe_step(step)} for step in job.steps]
        print_table(rows, ("step", "state"))


@group.command()
def chunks(
    document: DocumentId,
    *,
    app: LibraryApp = None,
    tenant: Tenant = "default",
    owner: Owner = "default",
    first: Annotated[
        int, typer.Option("--first", min=0, help="Ordinal of the chunk to begin with.")
    ] = 0,
    limit: Limit = 100,
    api: Api = None,
    as_json: Json = False,
) -> None:
    """List the chunks of a document that are in search, in order; whole with --json."""

    async def find(_: Headrace, library: Library) -> Any:  # noqa: ANN401 - two values
        status = await library.document(document, tenant=tenant, owner=owner)
        return status, await library.chunks(
            document, tenant=tenant, owner=owner, first=first, limit=limit
        )

    status, found = ask_library(app, find, api)
    if as_json:
        print_json(found)
        return
    rows = [
        {
            "ordinal": chunk.ordinal,
            "type": chunk.type,
            "page": chunk.page,
            "lines": f"{chunk.start_line}-{chunk.end_line}",
            "characters": len(chunk.text),
            "text": _shortened(chunk.text, PREVIEW),
        }
        for chunk in found
    ]
    columns = ("ordinal", "type", "page", "lines", "characters", "text")
    print_table(rows, columns, empty=f"none: {text_of(status.name)} is {status.stage}")
    if len(found) == limit:
        typer.echo(f"there may be more: --first {found[-1].ordinal + 1}", err=True)


def _shortened(text: str, most: int) -> str:
    """A text as one short line on a terminal; elsewhere it stays whole."""
    if not sys.stdout.isatty():
        return text
    line = " ".join(text[: 2 * most].split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


@group.command()
def delete(
    documents: Annotated[
        list[str], typer.Argument(metavar="DOCUMENT...", help="Ids of documents.")
    ],
    *,
    app: LibraryApp = None,
    tenant: Tenant = "default",
    owner: Owner = "default",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    api: Api = None,
) -> None:
    """Delete documents: at once from search, and their files. On a terminal it asks first."""
    from headrace.errors import NotFoundError

    if sys.stdin.isatty() and sys.stdout.isatty() and not yes:
        count = len(documents)
        what = "this document" if count == 1 else f"these {count} documents"
        typer.confirm(f"Delete {what} with all that was made of it?", abort=True)

    async def delete_all(_: Headrace, library: Library) -> ExitCode:
        code = ExitCode.DONE
        for document in documents:
            try:
                await library.delete(document, tenant=tenant, owner=owner)
                typer.echo(f"{document} is deleted")
            except NotFoundError as error:
                typer.echo(f"headrace: {error}", err=True)
                code = code or exit_code_of(error)
        return code

    raise typer.Exit(ask_library(app, delete_all, api))


def size_text(size: int) -> str:
    """A size for people: `812 B`, `14.2 KiB`, `3.0 MiB`."""
    amount, unit = float(size), "B"
    for larger in ("KiB", "MiB", "GiB"):
        if amount < 1_024:  # noqa: PLR2004 - the step between two units
            break
        amount, unit = amount / 1_024, larger
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
