"""The command `headrace`: its groups, and what becomes of errors."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from headrace.cli import (
    api,
    api_keys,
    breakers,
    budgets,
    config,
    consensus,
    dead_letters,
    dev,
    doctor,
    documents,
    jobs,
    limits,
    links,
    locks,
    migrate,
    operations,
    pipelines,
    pubsub,
    quarantine,
    queues,
    schedules,
    search,
    sources,
    submit,
    tenants,
    webhooks,
    worker,
    workers,
)
from headrace.cli import (
    run as run_command,
)
from headrace.cli.exits import ExitCode, exit_code_of
from headrace.errors import HeadraceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ADVICE: Final = {
    ExitCode.UNAVAILABLE: "; try again, or see `headrace doctor`",
}
"""What to do, where the error itself cannot know it."""
OF_THE_PLACE: Final = frozenset(
    {
        *("api", "api-keys", "config", "demo", "dev", "doctor", "migrate", "pubsub"),
        *("quarantine", "sources", "tenants", "worker", "limits", "budgets"),
    }
)
"""Commands about a database and its processes: HEADRACE_API_URL says nothing to them."""

program = typer.Typer(
    help="Durable multi-step pipelines on your PostgreSQL.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    add_completion=False,
)
program.command("dev")(dev.dev)
program.command("worker")(worker.work)
program.command("api")(api.api)
program.command("submit")(submit.submit)
program.command("run")(run_command.run)
program.add_typer(documents.group, name="documents")
program.command("search")(search.search)
program.add_typer(consensus.group, name="consensus")
jobs.group.command("signal-url")(links.signal_url)
program.add_typer(jobs.group, name="jobs")
program.add_typer(dead_letters.group, name="dead-letters")
program.add_typer(queues.group, name="queues")
program.add_typer(tenants.group, name="tenants")
program.add_typer(limits.group, name="limits")
program.add_typer(budgets.group, name="budgets")
program.add_typer(pipelines.group, name="pipelines")
program.add_typer(schedules.group, name="schedules")
program.add_typer(workers.group, name="workers")
program.add_typer(operations.group, name="operations")
program.add_typer(breakers.group, name="breakers")
program.add_typer(locks.group, name="locks")
program.add_typer(api_keys.group, name="api-keys")
program.add_typer(webhooks.group, name="webhooks")
program.add_typer(sources.group, name="sources")
program.add_typer(quarantine.group, name="quarantine")
program.add_typer(migrate.group, name="migrate")
program.add_typer(pubsub.group, name="pubsub")
program.add_typer(config.group, name="config")
program.command("doctor")(doctor.doctor)


@program.command()
def demo(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[FOLDER]", help="Files of your own, in place of the examples."),
    ] = None,
    ask: Annotated[
        list[str] | None, typer.Option(help="A question to the files; can be repeated.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the folder with the documents and logs behind.")
    ] = False,
) -> None:
    """Ingest documents with a worker that is killed halfway, and search them.

    On a database of its own.
    """
    from headrace.demo.run import main

    raise typer.Exit(main(folder, questions=ask or (), keep=keep))


@program.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version and exit.",
            is_eager=True,
            callback=lambda wanted: _print_version() if wanted else None,
        ),
    ] = False,
) -> None:
    """Durable multi-step pipelines on your PostgreSQL."""


def _print_version() -> None:
    from headrace import __version__

    typer.echo(f"headrace {__version__}")
    raise typer.Exit


def _refuse_api(context: typer.Context, value: str | None) -> None:
    if value is not None:
        from headrace.cli.remote import LocalOnlyError

        raise LocalOnlyError(context.command_path)


_refusing = typer.Typer()


@_refusing.command()
def _never_run(
    given: Annotated[str | None, typer.Option("--api", hidden=True, callback=_refuse_api)] = None,
    found: Annotated[
        str | None,
        typer.Option("--api", envvar="HEADRACE_API_URL", hidden=True, callback=_refuse_api),
    ] = None,
) -> None: ...


def whole_command() -> Any:  # noqa: ANN401 - typer's
    """The command with all its groups; those that cannot ask an API say so."""
    from typer.main import get_command

    given, found = get_command(_refusing).params[:2]
    given.expose_value = found.expose_value = False
    whole = get_command(program)
    for name, command in _commands_of(whole):
        if not any("--api" in option.opts for option in command.params):
            command.params.append(given if name.split()[0] in OF_THE_PLACE else found)
    return whole


def _commands_of(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    for word, inner in command.commands.items():
        if hasattr(inner, "commands"):
            yield from _commands_of(inner, f"{name} {word}")
        else:
            yield f"{name} {word}".strip(), inner


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: What follows `headrace`; those of this process if left out.

    Returns:
        Its exit code. An error of headrace is one line on the standard error; any other one keeps
        its traceback.
    """
    try:
        whole_command()(arguments, prog_name="headrace")
    except HeadraceError as error:
        print_error(error)
        return exit_code_of(error)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except (BrokenPipeError, SystemExit) as end:
        return _code_of(end)
    except Exception:  # noqa: BLE001 - the last place that can tell of it
        import traceback

        traceback.print_exc()
        return ExitCode.INTERNAL
    return ExitCode.DONE


def _code_of(end: BrokenPipeError | SystemExit) -> int:
    """The exit code of a command that ended by itself, or because nobody reads its output."""
    # What typer puts in the place of the output then; it ends with 1, which means something else.
    is_unread = type(sys.stdout).__name__ == "PacifyFlushWrapper"
    if isinstance(end, SystemExit) and not is_unread:
        return end.code if isinstance(end.code, int) else ExitCode.DONE
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # what is still held back is flushed at the end
    return ExitCode.NO_READER


def print_error(error: HeadraceError) -> None:
    """Tell of an error of headrace in one line."""
    text = " ".join(str(error).split())
    advice = ADVICE.get(exit_code_of(error), "")
    if error.code == "service_unavailable":  # of an API, of which doctor knows nothing
        advice = "; try again"
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    sys.stderr.write(f"headrace: {text}{advice}\n")
