"""What a Markdown text consists of: headings, fenced code, and the kinds of its blocks."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Final, Literal, TypeAlias, cast

BlockType: TypeAlias = Literal["heading", "paragraph", "list", "table", "code", "mixed"]
"""The kind of a chunk's blocks."""

_MARK: Final = re.compile(
    r"^ {0,3}(?:(?P<heading>#{1,6})(?=[ \t\n]|\Z)|(?P<fence>`{3,}(?=[^`\n]*$)|~{3,}).*)",
    re.MULTILINE,
)

_STOP: Final = r"[ ]{0,3}\#{1,6}(?:[ \t]|$)|[ \t]*+\|"  # what ends any paragraph
_REST: Final = r"[ \t]*+\S.*"
# Each round of a repeated group begins with a character that no other part of it takes, so none is
# tried twice. Not possessive: before 3.11.5 Python got repeated groups wrong that are.
_BLOCK: Final = re.compile(
    rf"""^(?:
    (?P<heading> [ ]{{0,3}}\#{{1,6}}(?:[ \t].*)?$ )
    | (?P<rule> [ ]{{0,3}}(?:(?:-[ \t]*+){{3,}}|(?:\*[ \t]*+){{3,}}|(?:_[ \t]*+){{3,}})$ )
    | (?P<table> [ \t]*+\|.*(?:\n[ \t]*+\|.*)* )
    | (?P<list> [ \t]*+(?:[-*+]|\d{{1,9}}[.)])(?=[ \t]|$).*
        (?: \n(?!{_STOP}){_REST}                                        # of the same paragraph
          | (?:\n[ \t]*+(?=\n))+\n(?=[ ]{{2}}|\t)(?!{_STOP}){_REST}    # indented, after a blank
        )* )
    | (?P<paragraph> {_REST}(?:\n(?!{_STOP}|[ ]{{0,3}}(?:[-*+]|1[.)])[ \t]){_REST})* )
    )""",
    re.MULTILINE | re.VERBOSE,
)
_PREFIX: Final = 100  # characters of a line that tell its kind: indentation and a marker


class Outline:
    """The headings and fenced code blocks of a text, found once, in linear time.

    By CommonMark's rules, outside of lists and quotations: up to three spaces of indentation, and a
    fence that is never closed reaches to the end. Only headings with `#` are seen.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.headings: list[int] = []
        """Where the `#` of each heading is."""
        self._fence_starts: list[int] = []
        self._fence_ends: list[int] = []
        self._read()

    def _read(self) -> None:
        fence = ""
        for mark in _MARK.finditer(self.text):
            if fence:
                if mark["fence"] and _closes(mark[0].strip(), fence):
                    fence = ""
                    self._fence_ends.append(mark.end())
            elif mark["heading"]:
                self.headings.append(mark.start("heading"))
            else:
                fence = mark["fence"]
                self._fence_starts.append(mark.start("fence"))
        if fence:
            self._fence_ends.append(len(self.text))

    def fence_end(self, place: int) -> int | None:
        """Where the fenced block ends that began before `place` and goes on there, if any."""
        index = bisect_left(self._fence_starts, place) - 1
        if index < 0 or self._fence_ends[index] <= place:
            return None
        return self._fence_ends[index]

    def begins_heading(self, place: int) -> bool:
        """Whether a heading begins at a place."""
        index = bisect_left(self.headings, place)
        return index < len(self.headings) and self.headings[index] == place

    def lead_in(self, start: int, end: int) -> int | None:
        """Where the lines begin with which a range ends and that mean nothing without what follows.

        These are headings and the opening line of fenced code; None where it ends otherwise.
        """
        first = self._opening_line(start, end)
        end = end if first is None else first
        for index in range(bisect_left(self.headings, end) - 1, -1, -1):
            heading = self.headings[index]
            line_end = self.text.find("\n", heading, end)
            rest = end if line_end < 0 else line_end
            if heading < start or self.text[rest:end].strip():
                break
            first = end = heading
        return first

    def _opening_line(self, start: int, end: int) -> int | None:
        index = bisect_left(self._fence_starts, end) - 1
        if index < 0 or self._fence_starts[index] < start or self._fence_ends[index] <= end:
            return None
        opening = self._fence_starts[index]
        return opening if self.text.find("\n", opening, end) < 0 else None

    def type_of(self, start: int, end: int, line_start: int) -> BlockType:
        """The kind of blocks of a range, whose first line begins at `line_start`."""
        kinds = set(self._kinds(start, end, line_start))
        if len(kinds) > 1:
            kinds.discard("heading")
        return cast("BlockType", kinds.pop()) if len(kinds) == 1 else "mixed"

    def _kinds(self, start: int, end: int, line_start: int) -> Iterator[str]:
        nothing = True
        for part_start, part_end in self._outside_fences(start, end):
            # A line may be as long as the text: of what lies before the chunk only its beginning.
            head = self.text[line_start : min(start, line_start + _PREFIX)]
            part = self.text[part_start:part_end]
            for block in _BLOCK.finditer(head + part if part_start == start else part):
                if block.lastgroup is not None and block.lastgroup != "rule":
                    nothing = False
                    yield block.lastgroup
        if self._has_fence(start, end):
            yield "code"
        elif nothing:
            yield "paragraph"

    def _has_fence(self, start: int, end: int) -> bool:
        index = bisect_left(self._fence_starts, end) - 1
        return index >= 0 and self._fence_ends[index] > start

    def _outside_fences(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        index = max(bisect_right(self._fence_starts, start) - 1, 0)
        while index < len(self._fence_starts) and self._fence_starts[index] < end:
            if start < self._fence_starts[index]:
                yield start, self._fence_starts[index]
            start = max(start, self._fence_ends[index])
            index += 1
        if start < end:
            yield start, end


def _closes(line: str, fence: str) -> bool:
    return len(line) >= len(fence) and line.strip(fence[0]) == ""
