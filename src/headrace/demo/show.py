"""What the demo shows: a bar for each file on a terminal, plain lines elsewhere."""

from __future__ import annotations

import re
import textwrap
import time
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from headrace.pipelines.documents import DocumentStatus, Hit

PLAIN_WIDTH: Final = 120
EVERY_S: Final = 2.0
"""Between two plain lines of progress."""
MOST_NAMES: Final = 3
"""Of files in the same stage, in a plain line; where there are more they are counted."""
PASSAGE: Final = 320
"""Characters of the first passage that are shown; of the others there is one line."""


HEADING: Final = re.compile(r"^#+ (.+)$", re.MULTILINE)


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
        self._bars: dict[str, TaskID] = {}

    def say(self, text: str) -> None:
        """Print one line."""
        self._console.print(Text(text), soft_wrap=True)  # a Text: names of files are no markup

    @contextmanager
    def progress(self) -> Iterator[None]:
        """Show how far each file is, until the block ends."""
        if not self._console.is_terminal:
            yield
            return
        columns = (
            TextColumn("{task.description:<24}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>5.1f} %"),
            TextColumn("{task.fields[stage]}"),
        )
        with Progress(
            *columns, console=self._console, transient=True, refresh_per_second=5
        ) as self._progress:
            yield
        self._progress = None

    def update(self, worker: str, documents: Sequence[DocumentStatus]) -> None:
        """Show where things stand.

        Args:
            worker: Who works on them.
            documents: All of them.
        """
        if self._progress is not None:
            for document in documents:
                self._move_bar(self._progress, document)
            return
        now = time.monotonic()
        if now - self._told >= EVERY_S:
            self._told = now
            self.say(f"{now - self._began:4.0f} s  worker {worker}  {_summary(documents)}")

    def _move_bar(self, progress: Progress, document: DocumentStatus) -> None:
        name = document.name
        if name not in self._bars:
            self._bars[name] = progress.add_task(name, total=100, stage="")
        progress.update(self._bars[name], completed=document.progress, stage=document.stage.value)

    def passages(self, question: str, hits: Sequence[Hit]) -> None:
        """Print a question and what was found: the first passage, and where the others are."""
        self.say("")
        self.say(f"? {question}")
        for place, hit in enumerate(hits):
            head = f"  {hit.score:.2f}  {hit.name}, {hit.position}"
            text = " ".join(HEADING.sub(r"\1.", hit.text).split())
            if place == 0:
                self.say(head)
                shown = textwrap.shorten(text, PASSAGE, placeholder=" …")
                indent = " " * 8
                width = min(self._console.width, PLAIN_WIDTH)
                self.say(
                    textwrap.fill(shown, width, initial_indent=indent, subsequent_indent=indent)
                )
            else:
                left = max(20, self._console.width - len(head) - 4)
                self.say(f"{head}  {textwrap.shorten(text, left, placeholder=' …')}")


def _summary(documents: Sequence[DocumentStatus]) -> str:
    """How many are done, and how far the others are, by stage."""
    done = sum(document.stage.is_final for document in documents)
    others = sorted(
        (document for document in documents if not document.stage.is_final),
        key=lambda document: document.stage.value,
    )
    parts = [f"{done} of {len(documents)} files done"]
    for stage, group in groupby(others, key=lambda document: document.stage.value):
        names = [f"{document.name} {document.progress:.0f} %" for document in group]
        shown = ", ".join(names) if len(names) <= MOST_NAMES else f"{len(names)} files"
        parts.append(f"{stage}: {shown}")
    return "; ".join(parts)
