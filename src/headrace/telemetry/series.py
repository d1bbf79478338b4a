"""What metrics count in: cells and histograms whose labels cannot multiply without bound."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final

from headrace.telemetry.masking import clean_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

BUCKETS_S: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
    *(60.0, 120.0, 300.0, 600.0, 1_200.0, 1_800.0, 3_600.0, 7_200.0),
)
"""Upper bounds of the histograms' buckets, in seconds; beyond the last there is one more."""
OTHER: Final = "other"
"""Stands for all values of a label beyond the first ones."""
MOST_VALUES: Final = 200
"""Values of one label that are told apart."""
MOST_SERIES: Final = 1_000
"""Combinations of labels of one metric that are told apart."""


class Histogram:
    """How often something took how long."""

    __slots__ = ("counts", "sum_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.sum_s = 0.0

    def observe(self, seconds: float) -> None:
        """Count one that took so long."""
        self.counts[bisect_left(BUCKETS_S, seconds)] += 1
        self.sum_s += seconds

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.counts)

    def copy(self) -> Histogram:
        """As it is now."""
        return merged([self])


def merged(histograms: Iterable[Histogram]) -> Histogram:
    """The sum of several histograms."""
    whole = Histogram()
    for histogram in histograms:
        whole.sum_s += histogram.sum_s
        pairs = zip(whole.counts, histogram.counts, strict=True)
        whole.counts = [mine + its for mine, its in pairs]
    return whole


def quantile_s(histogram: Histogram, part: float) -> float | None:
    """Seconds that this part took at most, as Prometheus estimates it; None where nothing was seen.

    Within a bucket times are taken as evenly spread; beyond the last bound that bound is given.
    """
    total = histogram.count
    if not total:
        return None
    wanted, below = part * total, 0
    lower = 0.0
    for upper, count in zip(BUCKETS_S, histogram.counts, strict=False):
        if below + count >= wanted and count:
            return lower + (upper - lower) * (wanted - below) / count
        below += count
        lower = upper
    return BUCKETS_S[-1]


class Cell:
    """A counter of one combination of labels, and the histogram that goes with it."""

    __slots__ = ("count", "histogram")

    def __init__(self, histogram: Histogram | None = None) -> None:
        self.count = 0
        self.histogram = histogram


class Vocabulary:
    """The values of labels that are told apart: the first ones, masked like all that is shown."""

    def __init__(self, most: int = MOST_VALUES) -> None:
        self._most = most
        self._known: dict[str, set[object]] = {}

    def know(self, label: str, values: Iterable[object]) -> None:
        """Tell these values apart, whatever comes."""
        self._known.setdefault(label, set()).update(values)

    def word(self, label: str, value: object) -> str | None:
        """What the label says of a value; None where it is one too many."""
        known = self._known.setdefault(label, set())
        if value not in known:
            if len(known) >= self._most:
                return None
            known.add(value)
        return "" if value is None else clean_text(str(value))


def words_of(
    vocabulary: Vocabulary, labels: Sequence[str], values: Sequence[object]
) -> tuple[tuple[str, ...], bool]:
    """What a series' labels say, and whether every value is told apart."""
    words = [vocabulary.word(label, value) for label, value in zip(labels, values, strict=True)]
    return tuple(OTHER if word is None else word for word in words), None not in words
