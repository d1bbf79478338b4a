"""From samples to the table: medians, ratios to the floor, targets. No I/O."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median
from typing import Final, Literal

FLOOR: Final = "floor"
OURS: Final = "headrace"

Verdict = Literal["met", "missed", "-"]


@dataclass(frozen=True, slots=True)
class Target:
    """What headrace's median has to hold."""

    limit: float
    bound: Literal["at least", "at most"]
    of_floor: bool
    """Whether the limit is for the ratio to the floor's median, or for the value itself."""

    def __str__(self) -> str:
        sign = "≥" if self.bound == "at least" else "≤"
        return f"{sign} {self.limit:g}" + ("×" if self.of_floor else "")

    def holds(self, figure: float) -> bool:
        """Whether a figure (a ratio or a value, as `of_floor` says) meets it."""
        return figure >= self.limit if self.bound == "at least" else figure <= self.limit


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    key: str
    title: str
    """What was measured, and its unit."""
    target: Target | None
    """None: it explains another row."""
    digits: int = 0


ROWS: Final = (
    Row("submit", "submit in bulks, jobs/s", Target(0.5, "at least", of_floor=True)),
    Row("drain", "one-step jobs, jobs/s", Target(0.5, "at least", of_floor=True)),
    Row("steps", "five-step jobs, jobs/s", Target(0.4, "at least", of_floor=True)),
    Row("start_p50", "submit to start p50, ms", Target(1.5, "at most", of_floor=True), 2),
    Row("start_p99", "submit to start p99, ms", Target(2, "at most", of_floor=True), 2),
    Row("pubsub_p50", "  by Pub/Sub p50, ms", None, 1),
    Row("pubsub_p95", "  by Pub/Sub p95, ms", Target(200, "at most", of_floor=False), 1),
    Row("single", "single submit, ms", Target(1.6, "at most", of_floor=True), 3),
    Row("http", "HTTP submits, of an empty route's", Target(0.7, "at least", of_floor=False), 2),
    Row("http_p99", "  p99 of 64 clients, ms", Target(100, "at most", of_floor=False), 1),
    Row("http_rate", "  submits over HTTP, 1/s", None),
    Row("http_server", "  the API, us each", None),
    Row("http_database", "  the database, us each", None),
    Row("http_client", "  the clients, us each", None),
    Row("http_empty", "  the empty route, us each", None),
    Row("crowded", "crowded, of own rate", Target(0.9, "at least", of_floor=False), 2),
    Row("tenant_p50", "start beside a crowd p50, ms", None),
    Row("tenant_p95", "start beside a crowd p95, ms", Target(1_000, "at most", of_floor=False)),
    Row("lock_p50", "lock to one of 50 p50, ms", Target(10, "at most", of_floor=False), 1),
    Row("lock_p95", "lock to one of 50 p95, ms", None, 1),
    Row("documents", "documents per minute", Target(50, "at least", of_floor=False)),
    Row("chunks", "chunks embedded, 1/s", Target(0.9, "at least", of_floor=True), 1),
    Row("embedding", "  time in the model, %", None, 1),
    Row("parsing", "  parsing, splitting, %", None, 1),
    Row("storing", "  the database, %", None, 1),
    Row("engine", "  the event loop, %", None, 1),
    Row("held", "  memory, MiB", None),
    Row("kill", "kill -9 to running, s", Target(6, "at most", of_floor=False), 1),
    Row("frozen", "frozen to running, s", Target(35, "at most", of_floor=False), 1),
    Row("memory", "1,000 in flight, MiB", Target(150, "at most", of_floor=False)),
    Row("growth", "memory at 1M over 100k jobs", Target(1.1, "at most", of_floor=False), 2),
    Row("bloat", "VACUUM over VACUUM FULL", Target(2, "at most", of_floor=False), 2),
    Row("leftovers", "rows left over", Target(0, "at most", of_floor=False)),
    Row("import", "import, s", Target(0.15, "at most", of_floor=False), 3),
    Row("help", "--help, s", Target(0.2, "at most", of_floor=False), 3),
)
"""The table's lines; narrow enough for a terminal of 80 columns."""


@dataclass(slots=True)
class Figures:
    """All samples of a benchmark by row and subject, and what went wrong."""

    samples: dict[str, dict[str, list[float]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    failures: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    left_out: dict[str, str] = field(default_factory=dict)
    """Subjects that could not be set up at all, and why."""

    def add(self, row: str, subject: str, value: float) -> None:
        """Keep one round's value."""
        self.samples[row][subject].append(value)

    def fail(self, rows: Iterable[str], subject: str, why: str) -> None:
        """Keep why a subject has no value for these rows (in some round)."""
        for row in rows:
            self.failures[row][subject] = why

    def failed(self, row: str, subject: str) -> str | None:
        """Why the subject has no value for the row, or too few; None when all went well."""
        return self.failures.get(row, {}).get(subject) or self.left_out.get(subject)

    def rows(self) -> list[Row]:
        """The rows with a value or a failure, in the table's order."""
        return [row for row in ROWS if row.key in self.samples or row.key in self.failures]

    def median(self, row: str, subject: str) -> float | None:
        """The subject's median, None without a value."""
        values = self.samples.get(row, {}).get(subject)
        return median(values) if values else None

    def ratio(self, row: str, subject: str) -> float | None:
        """The subject's median over the floor's, None where either is missing."""
        ours, floor = self.median(row, subject), self.median(row, FLOOR)
        return None if ours is None or not floor else ours / floor

    def verdict(self, row: Row, subject: str = OURS) -> Verdict:
        """Whether the subject meets the row's target; "-" where that cannot be told."""
        if row.target is None:
            return "-"
        of = self.ratio if row.target.of_floor else self.median
        figure = of(row.key, subject)
        if figure is None:
            return "-"
        return "met" if row.target.holds(figure) else "missed"


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of all values do not exceed.

    Raises:
        ValueError: There are no values.
    """
    ordered = sorted(values)
    if not ordered:
        message = "no values"
        raise ValueError(message)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]
