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
Api = Annotated[
    str | None,
    typer.Option(
        "--api",
        metavar="URL",
        envvar="HEADRACE_API_URL",
        show_envvar=False,
        help="Ask this API instead of the database, with the token in HEADRACE_API_TOKEN; "
        "HEADRACE_API_URL if left out.",
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
Cursor = Annotated[
    str | None, typer.Option("--cursor", help="Go on after the page that gave this cursor.")
]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="TIME", help="Not older: 10m, 2h, 1d, or an ISO time."),
]
Reason = Annotated[str | None, typer.Option("--reason", help="Kept in the history.")]
FromStep = Annotated[
    str | None,
    typer.Option("--from", metavar="STEP", help="Run this step and all that need it again."),
]
Force = Annotated[bool, typer.Option("--force", help="Run every step again.")]
