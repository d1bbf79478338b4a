"""The pages of commands and of exit codes, from the definitions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from typer.main import get_command

from headrace.cli.exits import MEANINGS as EXIT_MEANINGS
from headrace.cli.program import program
from scripts.reference_table import NOTE, table

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMANDS_INTRO: Final = """\
`APP` is `module:attribute`, the name of a `Headrace` object that can be imported from the current
folder. Where it is left out it is taken from `pyproject.toml` in that folder:

    [tool.headrace]
    app = "shop.jobs:app"

All commands work on the database of the [settings](settings.md); without one, on the embedded
database of the current folder. Those with `--api` ask a remote API instead, where one is named:
tenant and owner are those of the token then. What a command prints is a table on a terminal,
tab-separated lines elsewhere, and JSON with `--json`. An error is one line on the standard error;
how a command ended is told by its [exit code](exit-codes.md).
"""
EXITS_INTRO: Final = """\
Every command ends with one of these. An error of headrace is one line on the standard error,
`headrace: what is wrong; what to do`, without a traceback.
"""


def commands_page() -> str:
    """The page of all commands, with their arguments and options."""
    lines = ["# Commands", "", NOTE, "", COMMANDS_INTRO]
    for name, command in sorted(commands_of(get_command(program), "headrace")):
        lines += [f"## {name}", "", *command_lines(name, command)]
    return "\n".join(lines)


def commands_of(command: Any, name: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - typer's
    """Every command that does something, by its full name."""
    inner = getattr(command, "commands", {})
    if not inner or command.invoke_without_command:
        yield name, command
    for word, part in inner.items():
        yield from commands_of(part, f"{name} {word}")


def command_lines(name: str, command: Any) -> Iterator[str]:  # noqa: ANN401 - typer's
    """What one command does, and what it takes."""
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option"]
    words = [name, *(one.metavar or one.name.upper() for one in arguments)]
    yield f"`{' '.join([*words, '[OPTIONS]' if options else '']).rstrip()}`"
    yield from ("", *(line.strip() for line in (command.help or "").splitlines()), "")
    if arguments or options:
        rows = [(f"`{one.metavar or one.name.upper()}`", one.help or "") for one in arguments]
        rows += [option_row(one) for one in options]
        yield from (*table(("takes", "meaning"), rows), "")


def option_row(option: Any) -> tuple[str, str]:  # noqa: ANN401 - typer's
    """An option as it is written, and what it means."""
    value = "" if option.is_flag else f" {option.metavar or option.name.upper()}"
    default = "" if option.default in {None, False} else f" Default: {option.default}."
    return f"`{', '.join(option.opts)}{value}`", f"{option.help}{default}"


def exits_page() -> str:
    """The page of all exit codes."""
    rows = ((str(int(code)), meaning) for code, meaning in EXIT_MEANINGS.items())
    return "\n".join(
        ("# Exit codes", "", NOTE, "", EXITS_INTRO, *table(("code", "meaning"), rows), "")
    )
