"""`markdown-simple@1`: a chunk before each heading line, and after a number of lines."""

from __future__ import annotations

import re
from collections.abc import Iterator

from headrace.pipelines.documents.chunking.outline import Outline
from headrace.pipelines.documents.chunking.sizes import Range, Sizes
from headrace.pipelines.documents.chunking.structure import in_windows


def simple_ranges(outline: Outline, sizes: Sizes, lines: int) -> Iterator[Range]:
    """The chunks of the whole text. One that is too large is split as `markdown@1` would."""
    for start, end in _runs_of_lines(outline, lines):
        piece = outline.text[start:end]
        bare = piece.strip()
        if not bare:
            continue
        first = start + piece.find(bare)
        last = first + len(bare)
        if sizes.fits(first, last):
            yield first, last
        else:
            yield from in_windows(outline, sizes, first, last)


def _runs_of_lines(outline: Outline, lines: int) -> Iterator[Range]:
    run = re.compile(rf"(?:[^\n]*+(?:\n|\Z)){{1,{lines}}}")
    start = 0
    for stop in (*outline.headings, len(outline.text)):
        while start < stop:
            found = run.match(outline.text, start, stop)
            end = stop if found is None else found.end()
            yield start, end
            start = end
