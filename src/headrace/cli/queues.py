"""`headrace queues`: look at queues, close and open them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from headrace.cli.asking import actor, ask
from headrace.cli.options import Api, Reason
from headrace.cli.output import Json, print_json, print_table

if TYPE_CHECKING:
    from headrace.app import Headrace

group = typer.Typer(help="Look at queues, close, open and limit them.", rich_markup_mode=None)

Names = Annotated[list[str], typer.Argument(metavar="QUEUE...", help="Names of queues.")]
COLUMNS = (
    *("queue", "depth", "due", "waiting", "blocked", "running", "limit", "oldest", "paused_at"),
    *("paused_by", "reason"),
)


@group.command("list")
def list_(api: Api = None, as_json: Json = False) -> None:
    """List every queue with what waits and runs in it."""
    queues = ask(lambda app: app.list_queues(), api)
    if as_json:
        print_json(queues)
        return
    rows = [
        {
            "queue": queue.name,
            "depth": queue.depth,
            "due": queue.due,
            "waiting": queue.waiting,
            "blocked": queue.blocked,
            "running": queue.running,
            "limit": queue.concurrency,
            "oldest": None if queue.oldest_age_s is None else f"{queue.oldest_age_s:.0f} s",
            "paused_at": queue.paused_at,
            "paused_by": getattr(queue, "paused_by", None),  # an API tells less
            "reason": getattr(queue, "pause_reason", None),
        }
        for queue in queues
    ]
    print_table(rows, COLUMNS)


@group.command()
def pause(queues: Names, reason: Reason = None) -> None:
    """Close queues: what runs finishes, nothing more is started."""

    async def close(app: Headrace) -> None:
        for queue in queues:
            await app.pause_queue(queue, reason=reason, actor=actor())
            typer.echo(f"{queue} is paused")

    ask(close)


@group.command()
def limit(
    queue: Annotated[str, typer.Argument(metavar="QUEUE", help="Name of a queue.")],
    most: Annotated[
        str, typer.Argument(metavar="N", help="Most jobs at once, or none for any number.")
    ],
) -> None:
    """Set how many jobs of a queue run at once, over all workers; it takes effect at once."""
    from headrace.cli.parsing import read_limit

    number = read_limit(most)

    async def set_it(app: Headrace) -> None:
        before = await app.limit_queue(queue, number, actor=actor())
        typer.echo(f"{queue}: {number or 'any number'} at once, {before or 'any number'} before")

    ask(set_it)


@group.command()
def resume(queues: Names) -> None:
    """Open queues again."""

    async def open_again(app: Headrace) -> None:
        for queue in queues:
            opened = await app.resume_queue(queue)
            typer.echo(f"{queue} is open again" if opened else f"{queue} was not paused")

    ask(open_again)
