"""The documents that a command works on: the APP that carries them, its library, what it needs."""

from __future__ import annotations

import contextlib
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Final, TypeVar, cast

import typer

from headrace.cli.exits import ExitCode
from headrace.cli.running import run_async
from headrace.errors import ConflictError, InvalidError, SchemaError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from headrace.app import Headrace
    from headrace.pipelines.documents import Library

T = TypeVar("T")

SHIPPED: Final = "headrace.pipelines.documents:app"
MODULES: Final = {
    "documents": (
        "html_to_markdown",
        "mammoth",
        "puremagic",
        "pypdfium2",
        "semantic_text_splitter",
    ),
    "embeddings": ("numpy", "onnxruntime", "tokenizers"),
    "openai": ("openai",),
}
"""What the extras bring, as it is imported."""
EMBEDDERS: Final = {"minilm": "embeddings", "openai": "openai"}
"""The extra that an embedder needs."""

LibraryApp = Annotated[
    str | None,
    typer.Option(
        "--app",
        metavar="APP",
        help="module:attribute of a Headrace object that carries `documents`; that of "
        "[tool.headrace] in pyproject.toml if it does, else the one that headrace brings.",
    ),
]
Tenant = Annotated[str, typer.Option("--tenant", help="The customer that they belong to.")]
Owner = Annotated[str, typer.Option("--owner", help="The user that they belong to.")]
DocumentId = Annotated[str, typer.Argument(metavar="DOCUMENT", help="Id of a document.")]


class ExtraMissingError(InvalidError):
    """What reads or embeds documents is not installed."""

    code = "extra_missing"
    exit_code = ExitCode.CONFIGURATION

    def __init__(self, modules: tuple[str, ...], extras: tuple[str, ...]) -> None:
        super().__init__(modules, extras)
        self.modules, self.extras = modules, extras

    def __str__(self) -> str:
        verb = "is" if len(self.modules) == 1 else "are"
        return (
            f"documents need {', '.join(self.modules)}, which {verb} not installed: "
            f"pip install 'headrace[{','.join(self.extras)}]'"
        )


class TablesMissingError(ConflictError):
    """The database has no tables for documents; the text says how to get them."""

    code = "tables_missing"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


def find_library_app(given: str | None) -> str:
    """The APP whose documents are meant, as `module:attribute`.

    Raises:
        AppError: It was given and does not carry the pipeline, or cannot be found.
    """
    from headrace.cli.loading import AppError, find_reference, has_app, load_app
    from headrace.pipelines.documents import documents

    if not has_app(given):
        return SHIPPED
    reference = find_reference(given)
    if documents in load_app(reference).pipelines.values():
        return reference
    if given is not None:
        raise AppError(
            f"{given} does not carry the pipeline `documents` of headrace.pipelines.documents: "
            "add it to its pipelines, or leave --app out"
        )
    return SHIPPED


@contextlib.asynccontextmanager
async def open_library(given: str | None) -> AsyncIterator[tuple[Headrace, Library]]:
    """The APP that carries the documents, open, and its library.

    Raises:
        AppError: As `find_library_app`.
        TablesMissingError: The database has no tables for them; the text says how to get them.
        HeadraceError: The settings are wrong, or no database answers.
    """
    from headrace.cli.loading import load_app
    from headrace.pipelines.documents import Library

    reference = find_library_app(given)
    app = load_app(reference)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(app.close)
        try:
            await app.open()
        except SchemaError as error:
            raise await _explained(error, app, reference) from None
        library = Library(app)
        stack.push_async_callback(library.close)
        yield app, library


def ask_library(
    given: str | None,
    question: Callable[[Headrace, Library], Awaitable[T]],
    api: str | None = None,
) -> T:
    """Open the library, and ask.

    Args:
        given: The APP.
        question: What is asked.
        api: The address of an API that is asked instead; see `asking.ask`.

    Raises:
        HeadraceError: As `open_library`, or whatever `question` raises.
    """

    async def opened() -> T:
        if api is not None:
            from headrace.cli.remote import check_alone, remote_app
            from headrace.cli.remote_library import RemoteLibrary

            check_alone(api, given)
            async with remote_app(api) as remote:
                documents = RemoteLibrary(remote.client.documents)
                return await question(cast("Headrace", remote), cast("Library", documents))
        async with open_library(given) as (app, library):
            return await question(app, library)

    return run_async(opened())


def check_extras() -> None:
    """Return when files can be taken in: everything is installed, and there is such an embedder.

    Raises:
        ExtraMissingError: Something is not installed; the text says how to get it.
        InvalidError: The settings name no embedder.
    """
    from headrace.pipelines.documents.clients import embedder_options
    from headrace.pipelines.documents.embedding import space_of
    from headrace.pipelines.documents.settings import documents_settings

    choice = documents_settings().embedder
    space_of(choice, embedder_options())
    wanted = ("documents", EMBEDDERS[choice]) if choice in EMBEDDERS else ("documents",)
    missing = {
        extra: [module for module in MODULES[extra] if find_spec(module) is None]
        for extra in wanted
    }
    absent = tuple(module for modules in missing.values() for module in modules)
    if absent:
        raise ExtraMissingError(absent, tuple(extra for extra in wanted if missing[extra]))


async def _explained(error: SchemaError, app: Headrace, reference: str) -> ConflictError:
    """The error, with what helps here: a plain `headrace migrate` may not know of the documents."""
    if error.found > error.needed:
        return error
    version = await _version_without_vectors(app)
    if version is None:
        found = str(error).partition(": run ")[0]
        return TablesMissingError(f"{found}: run `headrace migrate --app {reference}`")
    return TablesMissingError(
        f"documents need the extension pgvector, which this PostgreSQL {version} does not have: "
        "install it, or use the embedded database"
    )


async def _version_without_vectors(app: Headrace) -> str | None:
    """The version of a server that has no pgvector to offer."""
    from headrace.store.pool import connect

    address = app.settings.database_address()
    if address is None:
        return None  # the embedded one, which has it
    connection = await connect(address, name="headrace documents")
    try:
        version: str | None = await connection.fetchval(
            "select split_part(current_setting('server_version'), ' ', 1)"
            " where not exists (select from pg_available_extensions where name = 'vector')"
        )
    finally:
        await connection.close()
    return version
