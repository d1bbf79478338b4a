"""Carries out a plan: sets the subjects up, runs the tasks, keeps values and failures."""

import asyncio
from collections.abc import Sequence
from time import monotonic

import asyncpg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.environments import prepare
from bench.errors import BenchError
from bench.figures import Figures
from bench.lab import Lab
from bench.plan import Task
from bench.subjects import Subject

FAILURES = (BenchError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError)


async def set_up(lab: Lab, subjects: Sequence[Subject], console: Console) -> dict[str, str]:
    """Prepare environments and template databases; returns who could not be set up, and why."""
    left_out = {}
    for subject in subjects:
        try:
            await prepare(subject)
            await lab.install(subject)
        except FAILURES as error:
            left_out[subject.name] = str(error)
            console.print(f"[red]{subject.name} could not be set up:[/] {error}")
    return left_out


async def measure(lab: Lab, groups: Sequence[Sequence[Task]], console: Console) -> Figures:
    """Run the groups of tasks one after the other and return their values."""
    figures = Figures()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        bar = progress.add_task("", total=len(groups))
        for group in groups:
            progress.update(bar, description=" + ".join(map(_title, group)))
            told = await asyncio.gather(*(_measure_one(lab, task, figures) for task in group))
            for line in told:
                progress.console.print(line)
            progress.advance(bar)
    return figures


async def _measure_one(lab: Lab, task: Task, figures: Figures) -> str:
    begin = monotonic()
    try:
        values = await task.work.measure(lab, task.subject)
    except FAILURES as error:
        figures.fail(task.work.rows, task.subject.name, str(error))
        return f"[red]{_title(task)} failed:[/] {error}"
    for row, value in values.items():
        figures.add(row, task.subject.name, value)
    told = "  ".join(f"{row} {value:,.4g}" for row, value in values.items())
    return f"[dim]{_title(task)}:[/] {told} [dim]({monotonic() - begin:.1f} s)[/]"


def _title(task: Task) -> str:
    return f"{task.name} {task.subject.name}"
