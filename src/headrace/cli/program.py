"""The command `headrace`: its groups, and what becomes of errors."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from headrace.cli import (
    api,
    api_keys,
    config,
    dead_letters,
    dev,
    doctor,
    documents,
    jobs,
    migrate,
    pipelines,
    pubsub,
    queues,
    search,
    submit,
    webhooks,
    worker,
    workers,
)
from headrace.cli import (
    run as run_command,
)
from headrace.cli.exits import ExitCode, exit_code_of
from headrace.errors import HeadraceError

ADVICE: Final = {
    ExitCode.UNAVAILABLE: "; try again, or see `headrace doctor`",
}
"""What to do, where the error itself cannot know it."""

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
program.add_typer(jobs.group, name="jobs")
program.add_typer(dead_letters.group, name="dead-letters")
program.add_typer(queues.group, name="queues")
program.add_typer(pipelines.group, name="pipelines")
program.add_typer(workers.group, name="workers")
program.add_typer(api_keys.group, name="api-keys")
program.add_typer(webhooks.group, name="webhooks")
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


def run() -> int:
    """Run a command.

    Returns:
        Its exit code. An error of headrace is one line on the standard error; any other one keeps
        its traceback.
    """
    try:
        program(prog_name="headrace")
    except HeadraceError as error:
        print_error(error)
        return exit_code_of(error)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except Exception:  # noqa: BLE001 - the last place that can tell of it
        import traceback

        traceback.print_exc()
        return ExitCode.INTERNAL
    return ExitCode.DONE


def print_error(error: HeadraceError) -> None:
    """Tell of an error of headrace in one line."""
    text = " ".join(str(error).split())
    advice = ADVICE.get(exit_code_of(error), "")
    sys.stdout.flush()
    sys.stderr.write(f"headrace: {text}{advice}\n")
