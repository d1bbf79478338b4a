"""`headrace documents add`: takes files in, and shows how they become searchable."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, cast

import typer

from headrace.cli.exits import ExitCode
from headrace.cli.library import LibraryApp, Owner, Tenant
from headrace.cli.options import Api
from headrace.cli.output import Json, print_json, print_table, text_of
from headrace.cli.running import run_async

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable, Iterator
    from typing import TypeAlias

    from headrace.app import Headrace
    from headrace.cli.gathering import Found
    from headrace.cli.intake import Intake
    from headrace.cli.intake_views import IntakeView
    from headrace.pipelines.documents import Library

    _Worker: TypeAlias = Callable[
        [IntakeView, asyncio.Event], contextlib.AbstractAsyncContextManager[None]
    ]

POLL_S: Final = 2.0
"""Between two looks at the documents of an API, which counts them."""
COLUMNS: Final = ("file", "outcome", "chunks", "document", "reason")


def add(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH...", help="Files, and folders, whose files are taken."),
    ],
    *,
    app: LibraryApp = None,
    again: Annotated[
        bool, typer.Option("--again", help="Ingest them also where that was done.")
    ] = False,
    name: Annotated[
        str | None, typer.Option("--name", help="What the file is called; one file only.")
    ] = None,
    sha256: Annotated[
        str | None,
        typer.Option("--sha256", help="Refuse the file if its hash is another; one file only."),
    ] = None,
    tenant: Tenant = "default",
    owner: Owner = "default",
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Only store them: a worker ingests them later.")
    ] = False,
    timeout: Annotated[
        str | None, typer.Option("--timeout", metavar="TIME", help="Wait so long: 90s, 10m.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    api: Api = None,
    as_json: Json = False,
) -> None:
    """Take files in, and show how they go until they can be searched.

    PDF, DOCX, HTML, Markdown and plain text are read; what a folder holds beside them is listed
    and does no harm. The same content is ingested once for each owner. Where there is
    something to do and no worker is alive that carries `documents`, one runs in this process
    meanwhile; not for an API, which has its own. Interrupted, the same command goes on.
    """
    from headrace.cli.gathering import gather
    from headrace.cli.intake import SHORTEST_PAUSE_S, Entry, HowToAdd, Intake
    from headrace.cli.library import check_extras
    from headrace.cli.parsing import read_seconds

    timeout_s = read_seconds("--timeout", timeout)
    found = gather(paths)
    _check_single(found, paths, {"--name": name, "--sha256": sha256})
    if api is None:
        check_extras()
    how = HowToAdd(tenant=tenant, owner=owner, again=again, name=name, sha256=sha256)
    least_s = SHORTEST_PAUSE_S if api is None else POLL_S
    intake = Intake([Entry(one) for one in found], how, shortest_pause_s=least_s)
    place = _open_here(app) if api is None else _open_there(api, app)
    code = run_async(_add(place, intake, timeout_s, wait=not no_wait, quiet=quiet), fast=True)
    _print(intake, as_json=as_json)
    raise typer.Exit(code)


def _check_single(found: list[Found], paths: list[Path], options: dict[str, str | None]) -> None:
    from headrace.errors import OptionError

    if not found:
        raise OptionError("PATH", f"{', '.join(map(str, paths))} holds no files")
    for option, given in options.items():
        if given is not None and len(found) != 1:
            raise OptionError(option, f"is for one file; there are {len(found)}")


@contextlib.asynccontextmanager
async def _open_here(reference: str | None) -> AsyncIterator[tuple[Library, _Worker]]:
    """The library, and what runs a worker for it where none is alive."""
    from headrace.cli.library import open_library

    async with open_library(reference) as (app, library):
        yield library, lambda view, wanted: _worker(app, view, wanted)


@contextlib.asynccontextmanager
async def _open_there(api: str, reference: str | None) -> AsyncIterator[tuple[Library, _Worker]]:
    """The library of an API, which has workers of its own."""
    from headrace.cli.remote import check_alone, remote_app
    from headrace.cli.remote_library import RemoteLibrary

    check_alone(api, reference)
    async with remote_app(api) as app:
        library = cast("Library", RemoteLibrary(app.client.documents))
        yield library, lambda view, wanted: contextlib.nullcontext()  # noqa: ARG005


async def _add(
    place: contextlib.AbstractAsyncContextManager[tuple[Library, _Worker]],
    intake: Intake,
    timeout_s: float | None,
    *,
    wait: bool,
    quiet: bool,
) -> ExitCode:
    import asyncio

    from headrace.cli.intake_views import intake_view_on

    is_over = False
    async with place as (library, worker):
        with intake_view_on(sys.stderr, is_quiet=quiet) as view, _told_of_interruption(intake):
            try:
                async with asyncio.timeout(timeout_s):
                    if wait:
                        async with worker(view, intake.has_work):
                            await intake.add_and_follow(library, view.show)
                    else:
                        await intake.add(library)
                        await intake.look(library, at_all=True)
            except TimeoutError:
                is_over = True
    return exit_code_after(intake, is_over=is_over)


@contextlib.asynccontextmanager
async def _worker(app: Headrace, view: IntakeView, wanted: asyncio.Event) -> AsyncIterator[None]:
    from headrace.cli.standing_in import worker_for
    from headrace.pipelines.documents import documents
    from headrace.telemetry.events import Level

    # How documents end is told in the table: a failed one is no trouble of this process.
    async with worker_for(app, documents, wanted=wanted, stream=view.stream, least=Level.CRITICAL):
        yield


@contextlib.contextmanager
def _told_of_interruption(intake: Intake) -> Iterator[None]:
    import asyncio

    try:
        yield
    except asyncio.CancelledError:
        left = sum(entry.outcome in {"waiting", "running"} for entry in intake.entries)
        typer.echo(
            f"headrace: {left} of {len(intake.entries)} files have not ended: the same command, or "
            "a worker, goes on with them",
            err=True,
        )
        raise


def exit_code_after(intake: Intake, *, is_over: bool) -> ExitCode:
    """The code that tells how an intake ended: 0 if all that was meant can be searched."""
    counts = intake.counts
    is_refused = any(
        entry.outcome == "refused" and not entry.is_ignored for entry in intake.entries
    )
    if is_over:
        return ExitCode.TIMEOUT
    if counts["failed"]:
        return ExitCode.JOB_FAILED
    if counts["cancelled"]:
        return ExitCode.JOB_CANCELLED
    if is_refused or counts["refused"] == len(intake.entries):
        return ExitCode.INVALID
    return ExitCode.DONE


def _print(intake: Intake, *, as_json: bool) -> None:
    from headrace.cli.intake_views import MOST_SHOWN, describe_counts

    rows = [entry.row() for entry in intake.entries]
    if as_json:
        print_json({"files": rows, "counts": intake.counts})
    elif sys.stdout.isatty():
        _print_for_people(rows, MOST_SHOWN)
    else:
        print_table(rows, COLUMNS)
    typer.echo(describe_counts(intake), err=True)


def _print_for_people(rows: list[dict[str, object]], most: int) -> None:
    """What is well, where it is little, and then what is not, each with its reason."""
    well = [row for row in rows if row["reason"] is None]
    if 0 < len(well) <= most:
        print_table(well, ("document", "outcome", "chunks", "file"))
    problems = [row for row in rows if row["reason"] is not None]
    for row in problems[:most]:
        typer.echo(f"{row['outcome']}: {row['file']}: {text_of(row['reason'])}")
    if len(problems) > most:
        typer.echo(f"and {len(problems) - most:,} more: --json tells of all", err=True)
