"""What the demo shows: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Literal

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.demo.pipeline import Page

TITLES: Final = ("file", "words", "min", "outline", "links", "about")
LONGEST_NAME: Final = 32
PLAIN_WIDTH: Final = 120
EVERY_S: Final = 2.0
"""Between two plain lines of progress."""


class Show:
    """Tells what happens while the demo runs."""

    def __init__(self, console: Console | None = None) -> None:
        """Write to the standard output, or to `console`."""
        self._console = console or Console(highlight=False)
        if not self._console.is_terminal:
            self._console.width = PLAIN_WIDTH
        self._progress: Progress | None = None
        self._began = time.monotonic()
        self._told = 0.0
        self._totals: dict[str, int] = {}
        self._bars: dict[str, TaskID] = {}

    def say(self, text: str) -> None:
        """Print one line."""
        self._console.print(Text(text), soft_wrap=True)  # a Text: names of files are no markup

    @contextmanager
    def progress(self, **totals: int) -> Iterator[None]:
        """Show how much of each total is done, until the block ends.

        Args:
            **totals: How much there is, by what it is.
        """
        self._totals = totals
        if not self._console.is_terminal:
            yield
            return
        columns = (
            TextColumn("{task.description:<8}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[worker]}"),
        )
        with Progress(*columns, console=self._console, transient=True) as self._progress:
            for name, total in totals.items():
                self._bars[name] = self._progress.add_task(name, total=total, worker="")
            yield
        self._progress = None

    def update(self, worker: str, **done: int) -> None:
        """Show where things stand.

        Args:
            worker: Who works on it.
            **done: What is done, by what it is.
        """
        if self._progress is not None:
            for name, count in done.items():
                self._progress.update(self._bars[name], completed=count, worker=f"worker {worker}")
            return
        now = time.monotonic()
        if now - self._told >= EVERY_S:
            self._told = now
            parts = [f"{name} {count}/{self._totals[name]}" for name, count in done.items()]
            self.say(f"{now - self._began:4.0f} s  worker {worker}  {'  '.join(parts)}")

    def index(self, pages: list[Page]) -> None:
        """Print the index as a table that fits the width of the terminal."""
        rows = [
            (
                _shorten(page.name, LONGEST_NAME),
                f"{page.words:,}",
                f"{page.minutes}",
                f"{len(page.outline)}",
                f"{len(page.links)}",
                ", ".join(page.common),
            )
            for page in pages
        ]
        widths = [max(map(len, cells)) for cells in zip(TITLES, *rows, strict=True)]
        left = max(0, self._console.width - sum(widths[:-1]) - 2 * len(widths))
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title in TITLES:
            side: Literal["left", "right"] = "left" if title in {"file", "about"} else "right"
            table.add_column(title, justify=side, no_wrap=True)
        for *cells, about in rows:
            table.add_row(*map(Text, cells), Text(_whole_words(about, left)))
        self._console.print(table)


def _shorten(name: str, most: int) -> str:
    return name if len(name) <= most else f"…{name[1 - most :]}"


def _whole_words(text: str, most: int) -> str:
    """As many words, with commas between them, as fit."""
    while len(text) > most:
        text = text.rpartition(", ")[0]
    return text
