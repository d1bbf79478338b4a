"""The table on the terminal and the record beside it."""

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from bench.figures import FLOOR, OURS, Figures, Row

STYLES = {"met": "green", "missed": "bold red", "-": "dim"}


def table(figures: Figures, subjects: Sequence[str], caption: str = "") -> Table:
    """A line per row: each subject's median, its ratio to the floor, the target and the verdict."""
    grid = Table(box=SIMPLE, padding=0, caption=caption, caption_justify="left")
    grid.add_column("median (× of the floor's)", no_wrap=True)
    for subject in subjects:
        grid.add_column(subject, justify="right", no_wrap=True)
    grid.add_column("target", justify="right", no_wrap=True)
    grid.add_column("", no_wrap=True)
    for row in figures.rows():
        verdict = figures.verdict(row)
        cells = [_cell(figures, row, subject) for subject in subjects]
        grid.add_row(row.title, *cells, str(row.target or ""), Text(verdict, style=STYLES[verdict]))
    return grid


def _cell(figures: Figures, row: Row, subject: str) -> Text:
    value = figures.median(row.key, subject)
    failed = figures.failed(row.key, subject)
    if value is None:
        return Text("failed", style="red") if failed else Text("-", style="dim")
    cell = Text(f"{value:,.{row.digits}f}" + ("!" if failed else ""))
    ratio = figures.ratio(row.key, subject)
    if row.target and row.target.of_floor and subject != FLOOR and ratio is not None:
        cell.append(f" ×{ratio:.2f}", style="bold" if subject == OURS else "dim")
    return cell


def record(figures: Figures, subjects: Sequence[str]) -> list[dict[str, Any]]:
    """The same as JSON, with every sample."""
    return [
        {
            "row": row.key,
            "title": row.title,
            "target": str(row.target or ""),
            "verdict": figures.verdict(row),
            "failures": {s: why for s in subjects if (why := figures.failed(row.key, s))},
            "subjects": {
                subject: {
                    "samples": samples,
                    "median": figures.median(row.key, subject),
                    "of_floor": figures.ratio(row.key, subject),
                }
                for subject in subjects
                if (samples := figures.samples.get(row.key, {}).get(subject))
            },
        }
        for row in figures.rows()
    ]
