"""An intake as it goes: drawn in place on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, TextIO, cast

from headrace.cli.intake import OPEN
from headrace.cli.output import text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from headrace.cli.intake import Entry, Intake

MOST_SHOWN: Final = 20
"""Files of which each has a line; of more, those that run."""
MOST_RUNNING: Final = 12
MOST_FAILED: Final = 5
LONGEST_STAGE: Final = len("embedding in progress")
BETWEEN_COUNTS_S: Final = 5.0
STYLES: Final = {
    "added": "green",
    "reused": "green",
    "failed": "red",
    "refused": "red",
    "cancelled": "yellow",
    "running": "cyan",
    "waiting": "dim",
}
MARKS: Final = {
    "waiting": "·",
    "running": "▶",
    "added": "✓",
    "reused": "=",
    "failed": "✗",
    "refused": "✗",
    "cancelled": "-",
}


class IntakeView(Protocol):
    """Shows an intake again and again."""

    stream: TextIO
    """Where other lines go meanwhile."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(self, *_: object) -> None:
        """End."""

    def show(self, intake: Intake) -> None:
        """Show how it is."""


def intake_view_on(stream: TextIO, *, is_quiet: bool) -> IntakeView:
    """The view that fits a stream."""
    if is_quiet:
        return QuietView(stream)
    return DrawnView(stream) if stream.isatty() else LinesView(stream)


class QuietView:
    """Shows nothing."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to leave."""

    def show(self, intake: Intake) -> None:
        """Nothing to show."""


class LinesView:
    """Writes a line for each stage of few files; of many, for those that end, and counts."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._seen: dict[int, str] = {}
        self._counted_at = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.flush()

    def show(self, intake: Intake) -> None:
        """Write what differs from the last time."""
        is_small = len(intake.entries) <= MOST_SHOWN
        for number, entry in enumerate(intake.entries):
            has_news = entry.outcome not in OPEN or (is_small and entry.status is not None)
            if has_news:
                self._say(number, f"{text_of(entry.found.path)}: {describe(entry)}")
        now = time.monotonic()
        if not is_small and now - self._counted_at >= BETWEEN_COUNTS_S:
            self._counted_at = now
            self.stream.write(f"{describe_counts(intake)}\n")
        self.stream.flush()

    def _say(self, number: int, line: str) -> None:
        if self._seen.get(number) != line:
            self._seen[number] = line
            self.stream.write(f"{line}\n")


class DrawnView:
    """Draws the files in place; nothing of it stays, since the end is told in a table."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        from headrace.cli.board import ConsoleStream

        console = Console(file=stream, highlight=False)
        self.stream = cast("TextIO", ConsoleStream(console))
        self._intake: Intake | None = None
        self._live = Live(
            get_renderable=self._draw, console=console, refresh_per_second=4, transient=True
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, intake: Intake) -> None:
        """Draw it from now on."""
        self._intake = intake

    def _draw(self) -> Any:  # noqa: ANN401 - something that rich draws
        return "" if self._intake is None else drawn(self._intake)


def drawn(intake: Intake) -> Any:  # noqa: ANN401 - something that rich draws
    """The intake for a terminal."""
    from rich.console import Group
    from rich.text import Text

    return Group(Text(describe_counts(intake), style="bold"), _table(_shown(intake)))


def _shown(intake: Intake) -> Iterator[Entry]:
    """All files, where they are few; else those that run, and those that failed last."""
    if len(intake.entries) <= MOST_SHOWN:
        yield from intake.entries
        return
    running = [entry for entry in intake.entries if entry.outcome == "running"]
    failed = [entry for entry in intake.entries if entry.outcome == "failed"]
    yield from failed[-MOST_FAILED:]
    yield from running[:MOST_RUNNING]


def _table(entries: Iterable[Entry]) -> Any:  # noqa: ANN401 - rich's
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column(no_wrap=True, min_width=LONGEST_STAGE)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True, ratio=1, overflow="ellipsis")
    for entry in entries:
        style, status = STYLES[entry.outcome], entry.status
        percent = "" if status is None else f"{status.progress:.0f} %"
        table.add_row(
            Text(f" {MARKS[entry.outcome]} {text_of(entry.found.path.name)}", style=style),
            Text(_stage(entry)),
            Text(percent),
            Text(_details(entry), style="dim"),
        )
    return table


def describe(entry: Entry) -> str:
    """How a file is, in a few words."""
    words = [_stage(entry)]
    if entry.status is not None and entry.outcome == "running" and entry.status.progress:
        words.append(f"{entry.status.progress:.0f} %")
    details = _details(entry)
    return " ".join((*words, f"({details})")) if details else " ".join(words)


def _stage(entry: Entry) -> str:
    if entry.outcome in {"added", "reused", "refused", "cancelled"} or entry.status is None:
        return entry.outcome
    return entry.status.stage.value.replace("_", " ")


def _details(entry: Entry) -> str:
    if entry.problem is not None:
        return text_of(entry.problem)
    status = entry.status
    if status is None or not status.chunks_total:
        return ""
    if entry.outcome == "running":
        return f"{status.embeds_done:,} of {status.chunks_total:,} chunks embedded"
    return f"{status.chunks_total:,} chunks"


def describe_counts(intake: Intake) -> str:
    """How many files there are of each outcome."""
    counts = intake.counts
    total = len(intake.entries)
    told = ", ".join(f"{counts[how]:,} {how}" for how in STYLES if counts[how])
    seconds = time.monotonic() - intake.since
    return f"{total:,} file{'s' * (total != 1)}: {told} ({seconds:,.0f} s)"
