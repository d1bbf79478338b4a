"""Lines of a printed page to paragraphs and headings, by where they stand.

Only white space and marks before a line are decided here: no rule drops or moves a word.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Final

_HYPHEN: Final = re.compile("[\ufffe\x02](.?)", re.DOTALL)
_SOFT_HYPHEN: Final = "\u00ad"
_BULLET: Final = re.compile(r"[•◦▪‣●∙·]\s+")
_ITEM: Final = re.compile(
    r"(?:[-*–•◦▪‣●∙·]|\(?(?:\d{1,3}|[a-zA-Z])[.)]|\d{1,3}(?:\.\d{1,3})+\.?)\s"
)
_DOTS: Final = re.compile(r"\.(?: ?\.){3}")  # from an entry of a table of contents to its page

_LARGER: Final = 1.15  # times the size of the text: a heading
_LONGEST_HEADING: Final = 200  # characters
_MOST_HEADINGS: Final = 0.3  # of all characters: more are no headings, but a matter of taste
_SAME_SIZE: Final = 0.1
_WIDER_GAP: Final = 1.25  # times the usual distance of lines: a new paragraph
_USUAL_GAP: Final = 1.8  # times the size, where a page has too few lines to tell
_ENOUGH_GAPS: Final = 3
_NARROWEST: Final = 16  # times the size: shorter lines are cells, labels or verse
_SAME_COLUMN: Final = 4  # times the size, between left edges: indented lines are in the column too
_CHARACTER: Final = 0.5  # times the size: width of a character on average
_LEVELS: Final = 6


@dataclass(frozen=True, slots=True)
class Line:
    """A line as it was printed; lengths in points, upwards from the page's lower edge.

    Attributes:
        text: Without its end. It may go on in the next printed line, where a hyphen was at its end.
        left: Left edge of its first character.
        right: Right edge of its last character.
        start: Height at which its first character stands.
        end: Height at which its last character stands.
        size: Of its first character's font.
    """

    text: str
    left: float
    right: float
    start: float
    end: float
    size: float


def to_markdown(pages: Sequence[Sequence[Line]]) -> list[str]:
    """The Markdown of each page."""
    levels = heading_levels([line for page in pages for line in page])
    return [_page(page, levels) for page in pages]


def heading_levels(lines: Sequence[Line]) -> dict[float, int]:
    """The level of heading for each size that is one: 1 for the largest."""
    weights: Counter[float] = Counter()
    for line in lines:
        weights[_rounded(line.size)] += len(line.text)
    body = max(weights, key=lambda size: weights[size], default=0)
    if not body:
        return {}
    larger = {size: weight for size, weight in weights.items() if size > body * _LARGER}
    if sum(larger.values()) > _MOST_HEADINGS * weights.total():
        return {}
    ranks = enumerate(sorted(larger, reverse=True), 1)
    return {size: min(rank, _LEVELS) for rank, size in ranks}


def _rounded(size: float) -> float:
    return round(size * 2) / 2


def _page(lines: Sequence[Line], levels: dict[float, int]) -> str:
    shown = [line for line in lines if line.text.strip()]
    gap = _usual_gap(shown)
    out: list[str] = []
    before: Line | None = None
    for line in shown:
        level = _level(line, levels)
        if before is None:
            separator = ""
        elif level or _level(before, levels):
            is_same = _rounded(before.size) == _rounded(line.size)
            is_near = 0 < before.end - line.start < line.size * _USUAL_GAP
            separator = " " if is_same and is_near else "\n\n"
        else:
            separator = _separator(before, line, gap, shown)
        mark = "" if separator == " " or not level else "#" * level + " "
        out += [separator, mark, _text(line)]
        before = line
    return "".join(out)


def _level(line: Line, levels: dict[float, int]) -> int:
    is_short = len(line.text) <= _LONGEST_HEADING and any(map(str.isalpha, line.text))
    return levels.get(_rounded(line.size), 0) if is_short else 0


def _separator(before: Line, line: Line, gap: float, page: Sequence[Line]) -> str:
    """Between two lines of text: a new paragraph, a new line, or a space."""
    if not 0 < before.end - line.start <= gap * _WIDER_GAP:
        return "\n\n"  # a wider gap, or the top of another column
    is_narrow = before.right - before.left < _NARROWEST * before.size
    if is_narrow or _ITEM.match(line.text) or _DOTS.search(before.text):
        return "\n"
    # Where the next word would have fitted, the line was ended on purpose.
    first_word, _, _ = line.text.lstrip().partition(" ")
    needed = (len(first_word) + 1) * _CHARACTER * before.size
    edge = max(
        other.right for other in page if abs(other.left - before.left) <= _SAME_COLUMN * before.size
    )
    return " " if before.right + needed > edge else "\n"


def _usual_gap(lines: Sequence[Line]) -> float:
    """The usual distance from a line to the next."""
    gaps = [
        before.end - line.start
        for before, line in pairwise(lines)
        if 0 < before.end - line.start < 3 * before.size
    ]
    size = median(line.size for line in lines) if lines else 0.0
    return median(gaps) if len(gaps) >= _ENOUGH_GAPS else size * _USUAL_GAP / _WIDER_GAP


def _text(line: Line) -> str:
    text = _HYPHEN.sub(_joined, line.text).replace(_SOFT_HYPHEN, "")
    return _BULLET.sub("- ", text.strip(), count=1) if _BULLET.match(text.strip()) else text.strip()


def _joined(hyphen: re.Match[str]) -> str:
    """A word that was cut at the end of a line; a hyphen before a capital or a digit is its own."""
    following = hyphen[1]
    return following if following.islower() else "-" + following
