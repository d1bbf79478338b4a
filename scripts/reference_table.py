"""What the pages of docs/reference share that are written from definitions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

NOTE: Final = (
    "<!-- Written by `python -m scripts.generate_reference`: change the definitions instead. -->"
)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    titles = list(head)
    yield f"| {' | '.join(titles)} |"
    yield f"|{' --- |' * len(titles)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |"


def read(path: Path) -> str | None:
    """The page as it is; None where there is none."""
    return path.read_text(encoding="utf-8") if path.exists() else None
