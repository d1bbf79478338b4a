"""The log book: entries put together from sentences, around those that were written by hand."""

from __future__ import annotations

import random
import re
import textwrap
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

SEED: Final = 1844
GAPS_DAYS: Final = (4, 24)
"""Between two entries."""
SEASONS: Final = ("winter", "spring", "summer", "autumn")
SIGNED: Final = ((date(1957, 3, 11), "J. T."), (date.max, "D. P."))
SUNDAY: Final = 6
TITLE: Final = "THE LOG BOOK OF HOLLIN MILL AT OVERBY"
SLOT: Final = re.compile(r"\{([A-Za-z]+|\d+-\d+)\}")


class Sentences:
    """Named lists of sentences, in which `{name}` stands for one of another list.

    A list is gone through in random order before anything of it comes again.
    """

    def __init__(self, lists: dict[str, list[str]]) -> None:
        self._lists = lists
        self._left: dict[str, list[str]] = {name: [] for name in lists}
        self.random = random.Random(SEED)  # noqa: S311 - the same book each time

    def one_of(self, name: str) -> str:
        """A sentence of a list, its slots filled."""
        left = self._left[name]
        if not left:
            left += self._lists[name]
            self.random.shuffle(left)
        return SLOT.sub(self._fill, left.pop())

    def _fill(self, slot: re.Match[str]) -> str:
        name = slot[1]
        if name[0].isdigit():
            least, most = map(int, name.split("-"))
            return str(self.random.randint(least, most))
        text = self.one_of(name.lower())
        return _capital(text) if name[0].isupper() else text


def write_logbook(source: str) -> str:
    """The whole book.

    Args:
        source: Lists of sentences under their names, and entries under their dates.
    """
    parts = [part.split("\n", 1) for part in source.strip().removeprefix("# ").split("\n# ")]
    lists = {name: text.splitlines() for name, text in parts}
    by_hand = {date.fromisoformat(name): lists.pop(name)[0] for name in [*lists] if "-" in name}
    sentences = Sentences(lists)
    entries = {day: _entry(day, sentences) for day in _days(sentences.random, [*by_hand])}
    entries |= {day: f"{_heading(day)} {text}" for day, text in by_hand.items()}
    pages = [TITLE]
    year = 0
    for day, text in sorted(entries.items()):
        if day.year != year:
            year = day.year
            pages.append(str(year))
        pages.append(textwrap.fill(f"{text} {_signature(day)}", 96))
    return "\n\n".join(pages) + "\n"


def _days(chance: random.Random, by_hand: list[date]) -> Iterator[date]:
    day, last = min(by_hand), max(by_hand)
    while (day := day + timedelta(days=chance.randint(*GAPS_DAYS))) < last:
        if day.weekday() != SUNDAY and day not in by_hand:
            yield day


def _entry(day: date, sentences: Sentences) -> str:
    chance = sentences.random
    season = SEASONS[day.month % 12 // 3]
    told = [sentences.one_of(season), sentences.one_of("river"), sentences.one_of("work")]
    others = ["repair", "trade", "village", "house"]
    chance.shuffle(others)
    told += [sentences.one_of(name) for name in others[: chance.randint(1, 3)]]
    told.append(sentences.one_of("close"))
    gauge = f"Gauge 0.{chance.randint(18, 74)}."
    return " ".join([_heading(day), gauge, *map(_capital, told)])


def _heading(day: date) -> str:
    return f"{day:%A} {day.day} {day:%B} {day.year}."


def _signature(day: date) -> str:
    return next(name for until, name in SIGNED if day < until)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
