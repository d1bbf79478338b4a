"""Arguments and options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

App = Annotated[
    str | None,
    typer.Argument(
        metavar="[APP]",
        help="module:attribute of the Headrace object; that of [tool.headrace] in pyproject.toml "
        "if left out.",
        show_default=False,
    ),
]
AppOption = Annotated[
    str | None,
    typer.Option(
        "--app",
        metavar="APP",
        help="module:attribute of the Headrace object; that of [tool.headrace] in pyproject.toml "
        "if left out.",
    ),
]
Queues = Annotated[
    str | None,
    typer.Option("--queues", metavar="NAMES", help="Queues to serve, with commas between them."),
]
Concurrency = Annotated[
    int | None, typer.Option("--concurrency", min=1, max=1_000, help="Jobs at once.")
]
UntilEmpty = Annotated[
    bool, typer.Option("--until-empty", help="End once nothing is left to run now.")
]
Limit = Annotated[int, typer.Option("--limit", min=1, max=1_000, help="Most rows.")]
