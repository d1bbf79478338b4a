"""`markdown@1`: chunks along the structure of a text, as full as they can be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from headrace.pipelines.documents.chunking.outline import Outline
from headrace.pipelines.documents.chunking.sizes import Range, Sizes

_WINDOW: Final = 8_192
"""Characters that are split at a time. The splitter's time grows with the square of its text:
1 MB in one go takes 20 s to 60 s, in windows below 1 s."""


def structured_ranges(outline: Outline, sizes: Sizes) -> Iterator[Range]:
    """The chunks of the whole text.

    None ends with a heading, and none is small, if that can be helped.
    """
    pieces = in_windows(outline, sizes, 0, len(sizes.text))
    return _with_small_joined(sizes, _with_lead_ins(outline, sizes, pieces))


def in_windows(outline: Outline, sizes: Sizes, start: int, stop: int) -> Iterator[Range]:
    """The chunks of a range, in linear time.

    The last piece of a window is what its end may have cut, so the next window begins with it:
    boundaries come out as if the text had been split in one go. Only a window that begins inside
    fenced code cannot know that; it ends with the code.
    """
    window = max(_WINDOW, 2 * sizes.most_characters)
    while start < stop:
        whole_end = min(outline.fence_end(start) or stop, stop)
        end = min(start + window, whole_end)
        pieces = sizes.pieces(start, end)
        if end < whole_end and pieces and pieces[-1][0] > start:
            start, _ = pieces.pop()
        else:
            start = end
        for piece in pieces:
            yield from sizes.fitted(*piece)


def _with_lead_ins(outline: Outline, sizes: Sizes, pieces: Iterator[Range]) -> Iterator[Range]:
    """The pieces, with what leads in at the end of one moved to the next."""
    held: list[Range] = []
    for piece in pieces:
        if held:
            *done, last = held
            yield from done
            held = list(_moved(outline, sizes, last, piece))
        else:
            held = [piece]
    yield from held


def _moved(outline: Outline, sizes: Sizes, first: Range, second: Range) -> Iterator[Range]:
    lead_in = outline.lead_in(*first)
    # The splitter fills a chunk from one level of the text only: the line of a list before a nested
    # one would be a chunk of its own, all title, and nearer to many questions than its text.
    if lead_in is None and sizes.is_small(*first) and not outline.begins_heading(second[0]):
        lead_in = first[0]
    if lead_in is None:
        yield from (first, second)
        return
    joined = _joined(outline, sizes, (lead_in, first[1]), second)
    before = sizes.text[first[0] : lead_in].rstrip()
    if joined and before:
        yield first[0], first[0] + len(before)
    yield from joined or (first, second)


def _joined(outline: Outline, sizes: Sizes, lead_in: Range, body: Range) -> list[Range]:
    """Both in one chunk, or with the first part of the body; empty if neither fits.

    A part is three quarters of a chunk, since what is left of a full one can be a few words. Only
    where that would cut a row of a table it may be more.
    """
    if sizes.fits(lead_in[0], body[1]):
        return [(lead_in[0], body[1])]
    if outline.lead_in(*body) == body[0]:
        return []
    left = sizes.most_tokens - sizes.tokens(*lead_in)
    for room in (min(left, sizes.most_tokens * 3 // 4), left):
        if room <= sizes.most_tokens // 4:
            break
        first, *others = sizes.cut(*body, room)
        together = lead_in[0], first[1]
        if sizes.fits(*together) and not _inside_row(sizes.text, *together):
            return [together, *others]
    return []


def _inside_row(text: str, start: int, end: int) -> bool:
    """Whether a range ends within a line of a table that began after `start`."""
    line_start = text.rfind("\n", start, end) + 1
    line = text[line_start:end]
    return line.lstrip().startswith("|") and text[end : end + 1] not in {"", "\n"}


def _with_small_joined(sizes: Sizes, pieces: Iterator[Range]) -> Iterator[Range]:
    """The pieces, each small one joined with its neighbours, as far as they fit in a chunk."""
    held = next(pieces, None)
    if held is None:
        return
    for piece in pieces:
        is_one_small = sizes.is_small(*held) or sizes.is_small(*piece)
        if is_one_small and sizes.fits(held[0], piece[1]):
            held = held[0], piece[1]
        else:
            yield held
            held = piece
    yield held
