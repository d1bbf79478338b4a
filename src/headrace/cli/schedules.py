"""`headrace schedules`: what submits jobs by the clock."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Final

import typer

from headrace.cli.asking import actor, ask
from headrace.cli.options import AppOption, Limit, Reason
from headrace.cli.output import Json, print_json, print_table, text_of

if TYPE_CHECKING:
    from uuid import UUID

    from headrace.app import Headrace
    from headrace.store.schedules import ScheduleStatus

group = typer.Typer(help="Look at schedules, pause and trigger them.", rich_markup_mode=None)

Address = Annotated[
    str, typer.Argument(metavar="SCHEDULE", help="Pipeline and name, as `list` shows it.")
]
Addresses = Annotated[
    list[str], typer.Argument(metavar="SCHEDULE...", help="Pipelines and names, as `list` does.")
]
COLUMNS: Final = (
    *("schedule", "state", "cron", "timezone", "missed", "next_slot", "last_slot", "last_job"),
    "problem",
)
SLOTS: Final = ("slot", "job", "state", "fired_at", "triggered_by", "reason")


@group.command("list")
def list_(
    pipeline: Annotated[str | None, typer.Option("--pipeline", help="Of this pipeline.")] = None,
    limit: Limit = 1_000,
    as_json: Json = False,
) -> None:
    """List every schedule that a worker has defined, also what no code defines any more."""
    found = ask(lambda app: app.schedules.list(pipeline=pipeline, limit=limit))
    if as_json:
        print_json(found)
    else:
        print_table([_row(one) for one in found], COLUMNS)


@group.command()
def show(
    schedule: Address,
    slots: Annotated[
        int, typer.Option("--slots", min=1, max=1_000, help="How many of its last slots.")
    ] = 20,
    as_json: Json = False,
) -> None:
    """Show a schedule, and the jobs of its last slots."""
    shown = ask(lambda app: app.schedules.show(schedule, slots=slots))
    if as_json:
        print_json(shown)
        return
    for name, value in asdict(shown.schedule).items():
        if value is not None:
            typer.echo(f"{name.replace('_', ' '):<14} {text_of(value)}")
    typer.echo()
    print_table([asdict(slot) for slot in shown.slots], SLOTS, empty="no job yet")


@group.command()
def pause(schedules: Addresses, reason: Reason = None) -> None:
    """Let slots pass without jobs."""

    async def close(app: Headrace) -> None:
        for address in schedules:
            await app.schedules.pause(address, reason=reason, actor=actor())
            typer.echo(f"{address} is paused")

    ask(close)


@group.command()
def resume(schedules: Addresses, reason: Reason = None) -> None:
    """Go on with the next slot; those that passed meanwhile have no jobs."""

    async def open_again(app: Headrace) -> None:
        for address in schedules:
            found, resumed = await app.schedules.resume(address, reason=reason, actor=actor())
            word = "goes on" if resumed else "was not paused; it goes on"
            typer.echo(f"{address} {word} at {text_of(found.next_slot)}")

    ask(open_again)


@group.command()
def trigger(
    schedule: Address, app: AppOption = None, reason: Reason = None, as_json: Json = False
) -> None:
    """Submit a job for the present moment, made by the schedule's function in the APP."""
    from headrace.cli.running import run_async

    job = str(run_async(_trigger(app, schedule, reason)))
    if as_json:
        print_json({"schedule": schedule, "job": job})
    else:
        typer.echo(job)


async def _trigger(given: str | None, address: str, reason: str | None) -> UUID:
    from headrace.cli.loading import load_app

    async with load_app(given) as app:
        return await app.schedules.trigger(address, reason=reason, actor=actor())


def _row(found: ScheduleStatus) -> dict[str, object]:
    row: dict[str, object] = {name: getattr(found, name, None) for name in COLUMNS}
    problem = found.pause_reason if found.paused_at is not None else found.error
    return {**row, "schedule": found.address, "problem": problem}
