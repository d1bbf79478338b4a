"""The command line: `headrace`, one module for each group of commands.

No module here imports the engine when it is loaded, so that `headrace --help` answers within 0.2 s:
each command imports what it needs when it runs.
"""

from __future__ import annotations


def main() -> None:
    """Run the command that the process's arguments name, and exit with its code."""
    from headrace.cli.program import run

    raise SystemExit(run())
