"""What can be read from a text: its sections, words, links. Plain functions, no engine."""

from __future__ import annotations

import keyword
import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

MOST_SECTIONS: Final = 12
WORDS_A_MINUTE: Final = 200
"""How fast prose is read, roughly; only the order of the numbers in the index depends on it."""
COMMON_WORDS: Final = 3
LONG_WORD: Final = 5
"""Letters from which on a word says something about its text."""

MARKDOWN_HEADING: Final = re.compile(r"^(?P<marks>#{1,6}) +(?P<title>.+?) *$", re.MULTILINE)
# A class or a function that begins in the first column.
PYTHON_HEADING: Final = re.compile(
    r"^(?P<marks>)(?:async def|def|class) +(?P<title>\w+)", re.MULTILINE
)
CODE_BLOCK: Final = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK: Final = re.compile(r"https?://[^\s)>\]\"'`]+|\]\((?P<target>[^)\s]+)\)")
WORD: Final = re.compile(r"[^\W\d_]+")
SAYS_LITTLE: Final = frozenset({*keyword.kwlist, "self", "there", "their", "which", "other"})


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a text. The level of a heading is 1 to 6; 0 stands for a text without one."""

    title: str
    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Study:
    """What was found in one section."""

    title: str
    level: int
    words: int
    links: list[str]
    common: dict[str, int]


def split_sections(text: str, *, python: bool, most: int = MOST_SECTIONS) -> list[Section]:
    """The sections of a text, in order.

    Args:
        text: Markdown or Python.
        python: Which of them it is.
        most: Neighbours are joined where there are more sections than this.
    """
    code = [] if python else [block.span() for block in CODE_BLOCK.finditer(text)]
    heads = {
        match.start(): (match["title"], len(match["marks"]) or 1)
        for match in (PYTHON_HEADING if python else MARKDOWN_HEADING).finditer(text)
        if not any(start <= match.start() < end for start, end in code)
    }
    bounds = sorted({0, len(text), *heads})
    sections = [
        Section(*heads.get(start, ("", 0)), text[start:end])
        for start, end in pairwise(bounds)
        if text[start:end].strip()
    ]
    size = -(-len(sections) // most) or 1
    return [_join(sections[first : first + size]) for first in range(0, len(sections), size)]


def _join(sections: list[Section]) -> Section:
    first = sections[0]
    return Section(first.title, first.level, "".join(section.text for section in sections))


def study_section(section: Section) -> Study:
    """Count the words of a section and find its links."""
    words = [word.lower() for word in WORD.findall(LINK.sub(" ", section.text))]
    common = Counter(word for word in words if len(word) >= LONG_WORD and word not in SAYS_LITTLE)
    links = [match["target"] or match[0] for match in LINK.finditer(section.text)]
    return Study(
        section.title,
        section.level,
        len(words),
        list(dict.fromkeys(links)),
        dict(common.most_common(COMMON_WORDS)),
    )


def reading_minutes(words: int) -> float:
    """For how long a person reads so many words."""
    return round(words / WORDS_A_MINUTE, 1)


def most_common(studies: list[Study]) -> list[str]:
    """The words that say most about a whole text, the most frequent first."""
    total: Counter[str] = Counter()
    for study in studies:
        total.update(study.common)
    return [word for word, _ in total.most_common(COMMON_WORDS)]
