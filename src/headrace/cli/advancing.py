"""`headrace documents advance`: in the place of a parser that does not call back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headrace.cli.asking import actor
from headrace.cli.library import DocumentId, LibraryApp, Owner, Tenant, ask_library
from headrace.cli.options import Api

if TYPE_CHECKING:
    from headrace.app import Headrace
    from headrace.cli.remote_library import RemoteLibrary
    from headrace.pipelines.documents import Library


def advance(
    document: DocumentId,
    *,
    reason: Annotated[str, typer.Option("--reason", help="Kept in the audit.")],
    markdown: Annotated[
        Path | None,
        typer.Option(
            "--markdown",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="The text; if left out, the worker parses the file itself.",
        ),
    ] = None,
    app: LibraryApp = None,
    tenant: Tenant = "default",
    owner: Owner = "default",
    api: Api = None,
) -> None:
    """Let a document go on that waits for another system to parse it."""
    text = None if markdown is None else markdown.read_text(encoding="utf-8")

    async def go_on(used: Headrace, library: Library | RemoteLibrary) -> None:
        from headrace.cli.remote_library import RemoteLibrary

        if isinstance(library, RemoteLibrary):
            await library.advance(
                document, reason=reason, markdown=text, tenant=tenant, owner=owner
            )
            return
        from headrace.store.audit import Action, record_action

        who = actor()
        await library.advance(document, markdown=text, tenant=tenant, owner=owner, actor=who)
        async with used.connection() as connection:
            await record_action(connection, Action(who, "document.advance", document, reason))

    ask_library(app, go_on, api)
    typer.echo(f"{document} goes on")
