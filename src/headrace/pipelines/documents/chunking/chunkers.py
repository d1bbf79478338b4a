"""The chunkers by name, and the spans that they give."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from headrace.pipelines.documents.chunking.outline import BlockType, Outline
from headrace.pipelines.documents.chunking.simple import simple_ranges
from headrace.pipelines.documents.chunking.sizes import Counter, Range, Sizes
from headrace.pipelines.documents.chunking.structure import structured_ranges

CHUNKERS: Final = ("markdown@1", "markdown-simple@1")
"""Names with versions. A change that moves a boundary is a new version: chunk ids hang on it."""

MOST_LINES: Final = 200


@dataclass(frozen=True, slots=True)
class Span:
    """Where a chunk lies in its text: `text[start:end]` is the chunk.

    Attributes:
        start: Index of its first character, which is no white space.
        end: Index behind its last character, which is no white space either.
        start_line: Line of its first character, from 1. Only a line feed ends a line.
        end_line: Line of its last character.
        type: What the chunk consists of. Headings count only where there is nothing else; two
            other kinds are `mixed`. Fenced blocks are code, lines that begin with `|` a table, all
            that has no kind of its own (quotations, HTML, indented code) is a paragraph. A list
            item's second paragraph is the list's while its first line is in the chunk.
    """

    start: int
    end: int
    start_line: int
    end_line: int
    type: BlockType


def split(
    text: str, *, chunker: str, most_tokens: int, count: Counter, lines: int = 20
) -> list[Span]:
    """Where the chunks of a Markdown text begin and end; the same for the same text, always.

    Spans are in order, do not overlap, and leave out nothing but white space. No chunk has more
    than `most_tokens` by `count`, nor more than eight characters a token.

    Args:
        text: Without lone surrogates.
        chunker: One of `CHUNKERS`. `markdown@1` fills chunks along the structure of the text and
            keeps a heading with what follows it; `markdown-simple@1` begins one before each heading
            line and after `lines` lines.
        most_tokens: The most that the embedder takes for one text, with its special tokens.
        count: The embedder's tokens of a text, with its special tokens.
        lines: Of `markdown-simple@1`, 1 to 200.

    Raises:
        ValueError: The chunker is unknown, `lines` is out of bounds, or `most_tokens` is less than
            a single character of the text needs.
        ImportError: `markdown@1` needs the extra `documents`.
    """
    if chunker not in CHUNKERS:
        raise ValueError(f"no chunker {chunker!r}; there are {', '.join(CHUNKERS)}")
    if not 1 <= lines <= MOST_LINES:
        raise ValueError(f"lines is {lines}; it can be 1 to {MOST_LINES}")
    outline, sizes = Outline(text), Sizes(text, count, most_tokens)
    if chunker == "markdown@1":
        ranges = structured_ranges(outline, sizes)
    else:
        ranges = simple_ranges(outline, sizes, lines)
    return list(_spans(outline, ranges))


def _spans(outline: Outline, ranges: Iterable[Range]) -> Iterator[Span]:
    """Ranges with their lines and types. Looks at each character a bounded number of times."""
    text, seen, line, line_start = outline.text, 0, 1, 0
    for start, end in ranges:
        line += text.count("\n", seen, start)
        line_start = text.rfind("\n", seen, start) + 1 or line_start
        end_line = line + text.count("\n", start, end)
        yield Span(start, end, line, end_line, outline.type_of(start, end, line_start))
        seen = start
