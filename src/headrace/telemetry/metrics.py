"""Metrics: a sink that counts every event, and keeps how long jobs, waits and steps took.

Each event `job_completed` is counted in `headrace_job_completed_total`, with those of its fields
as labels that have few values (`LABELS`). An event costs 0.6 us beside its own making; those that
nobody else wants are not even made. How it is shown: `exposition`, `summary`.
"""

from __future__ import annotations

import threading
from operator import attrgetter
from time import monotonic, time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from headrace.telemetry.events import EVENTS, Event, Level, add_sink, field_names
from headrace.telemetry.identity_events import CredentialRefused
from headrace.telemetry.job_events import (
    IdempotentSkip,
    JobCancelled,
    JobClaimed,
    JobCompleted,
    JobFailed,
    JobTimeout,
)
from headrace.telemetry.limit_events import RateLimited
from headrace.telemetry.lock_events import LockAcquired, LockRefused, LockReleased
from headrace.telemetry.messaging_events import MessageSettled, MessagesPublished
from headrace.telemetry.outbox_events import OutboxPublished
from headrace.telemetry.request_events import RequestServed
from headrace.telemetry.schedule_events import ScheduleFired, ScheduleMissed
from headrace.telemetry.series import MOST_SERIES, OTHER, Cell, Histogram, Vocabulary, words_of
from headrace.telemetry.step_events import StepCompleted, StepFailed
from headrace.telemetry.wait_events import SignalReceived
from headrace.telemetry.worker_events import BatchClaimed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

LABELS: Final = MappingProxyType(
    {
        "pipeline": "pipeline",
        "queue": "queue",
        "step": "step",
        "error_code": "code",
        "cause": "cause",
        "wait_reason": "wait_reason",
        "service": "service",
        "channel": "channel",
        "method": "method",
        "route": "route",
        "status": "status",
        "dependency": "dependency",
        "budget": "budget",
        "schedule": "schedule",
    }
)
"""Fields of events that become labels, and how those are called. Never an id, a tenant, a user."""
MORE_LABELS: Final[Mapping[type[Event], Mapping[str, str]]] = MappingProxyType(
    {
        CredentialRefused: {"reason": "reason"},
        IdempotentSkip: {"reason": "reason"},
        MessageSettled: {"kind": "kind", "outcome": "outcome"},
        MessagesPublished: {"topic": "topic"},
        RateLimited: {"reason": "reason"},
        ScheduleMissed: {"policy": "policy"},
        SignalReceived: {"outcome": "outcome"},
    }
)
"""The same for single events, whose field has few values only there."""


class Latency(NamedTuple):
    """What an event adds to which histogram.

    Attributes:
        metric: `job_latency` stands for `headrace_job_latency_seconds`.
        field: Where the event has the milliseconds.
        labels: Of the histogram; all are labels of the event.
        outcome: A label more, where events of several outcomes share the histogram.
    """

    metric: str
    field: str
    labels: tuple[str, ...] = ()
    outcome: str | None = None


_OF_JOBS: Final = ("pipeline", "queue")
_OF_STEPS: Final = ("pipeline", "step")
LATENCIES: Final[Mapping[type[Event], Latency]] = MappingProxyType(
    {
        JobCompleted: Latency("job_latency", "job_latency_ms", _OF_JOBS, "completed"),
        JobFailed: Latency("job_latency", "job_latency_ms", _OF_JOBS, "failed"),
        JobCancelled: Latency("job_latency", "job_latency_ms", _OF_JOBS, "cancelled"),
        JobTimeout: Latency("job_latency", "job_latency_ms", _OF_JOBS, "timeout"),
        JobClaimed: Latency("queue_latency", "queue_latency_ms", _OF_JOBS),
        StepCompleted: Latency("step_latency", "latency_ms", _OF_STEPS, "completed"),
        StepFailed: Latency("step_latency", "latency_ms", _OF_STEPS, "failed"),
        BatchClaimed: Latency("claim_latency", "latency_ms"),
        MessageSettled: Latency("message_latency", "message_latency_ms", ("kind", "outcome")),
        MessagesPublished: Latency("topic_latency", "publish_latency_ms", ("topic",)),
        LockAcquired: Latency("lock_wait", "wait_latency_ms", outcome="granted"),
        LockRefused: Latency("lock_wait", "wait_latency_ms", outcome="refused"),
        LockReleased: Latency("lock_hold", "hold_latency_ms"),
        OutboxPublished: Latency("publish_latency", "publish_latency_ms", ("channel",)),
        RequestServed: Latency("request_latency", "latency_ms", ("method", "route")),
        ScheduleFired: Latency("schedule_latency", "schedule_latency_ms", ("pipeline", "schedule")),
    }
)
"""Events that tell how long something took."""
HISTOGRAMS: Final = MappingProxyType(
    {
        "job_latency": "From a job's acceptance to its end.",
        "queue_latency": "From a job's due time to its claim, for each claim.",
        "step_latency": "One attempt of a step or item.",
        "claim_latency": "One claim that took jobs, as the worker waited for it.",
        "message_latency": "From the publishing of a message to its end here.",
        "topic_latency": "Publishing messages to a topic of Pub/Sub, in one request.",
        "publish_latency": "Sending one event to a webhook, or a batch of messages to a topic.",
        "request_latency": "One request of the HTTP API.",
        "lock_wait": "From asking for a lock to its grant, or until the caller gave up.",
        "lock_hold": "From a lock's grant to its release.",
        "schedule_latency": "From a slot's time to the job that a schedule submitted for it.",
    }
)
"""What the histograms measure."""
ENDS: Final = frozenset({JobCompleted, JobFailed, JobCancelled, JobTimeout})
RECENT_S: Final = 60
"""Seconds over which the present rate is taken."""
_Key = tuple[str, ...]


def labels_of(kind: type[Event]) -> dict[str, str]:
    """The fields of an event that are labels of its counter, and what those are called."""
    chosen = {**LABELS, **MORE_LABELS.get(kind, {})}
    return {name: chosen[name] for name in field_names(kind) if name in chosen}


class Family:
    """The counter of one kind of event."""

    __slots__ = ("cells", "is_end", "kind", "labels", "latency", "read", "read_ms", "series")

    def __init__(self, kind: type[Event]) -> None:
        fields = labels_of(kind)
        self.kind = kind
        self.labels = tuple(fields.values())
        self.latency = LATENCIES.get(kind)
        self.is_end = kind in ENDS
        # `name` in front makes it a tuple where there is one label only.
        self.read: Callable[[Event], Any] = attrgetter("name", *fields)
        self.read_ms = attrgetter(self.latency.field) if self.latency is not None else None
        self.cells: dict[Any, Cell] = {}
        """By the values of an event's fields: what `read` gives."""
        self.series: dict[_Key, Cell] = {}
        """By what the labels say."""


class Recent:
    """How many jobs ended in each of the last seconds."""

    def __init__(self) -> None:
        self._counts = [0] * (RECENT_S + 1)
        self._seconds = [-1] * (RECENT_S + 1)
        self.last_at: float | None = None
        """When the last one ended, as `time.time` has it."""

    def add(self) -> None:
        """One ended now."""
        second = int(monotonic())
        place = second % (RECENT_S + 1)
        if self._seconds[place] != second:
            self._seconds[place], self._counts[place] = second, 0
        self._counts[place] += 1
        self.last_at = time()

    def count(self) -> int:
        """How many ended in the last minute."""
        since = int(monotonic()) - RECENT_S
        pairs = zip(self._seconds, self._counts, strict=True)
        return sum(count for second, count in pairs if second >= since)


class Metrics:
    """What this process counted since it was made; a sink for `add_sink`."""

    def __init__(self, *, known: Mapping[str, Iterable[str]] | None = None) -> None:
        """Nothing is counted before it is a sink.

        Args:
            known: Values of labels that are told apart whatever strangers invent before them.
        """
        # Re-entrant: an object that is collected while we count may tell something in its end.
        self._lock = threading.RLock()
        self._vocabulary = Vocabulary()
        for label, values in (known or {}).items():
            self._vocabulary.know(label, values)
        self._families: dict[type[Event], Family] = {}
        self._histograms: dict[str, dict[_Key, Histogram]] = {name: {} for name in HISTOGRAMS}
        self.recent = Recent()
        self.started_at = time()

    def listen(self) -> Callable[[], None]:
        """Count from now on all events of this process; the function that is given ends it."""
        return add_sink(self, level=Level.DEBUG)

    def __call__(self, event: Event) -> None:
        """Count an event."""
        family = self._families.get(type(event)) or self._declare(type(event))
        ms = 0.0 if family.read_ms is None else family.read_ms(event)
        self._count(family, family.read(event), ms)

    def count(self, kind: type[Event], values: tuple[object, ...], ms: float = 0.0) -> None:
        """As `Tally.count`."""
        self._count(self._families.get(kind) or self._declare(kind), values, ms)

    def _count(self, family: Family, values: Any, ms: float) -> None:  # noqa: ANN401 - see `read`
        with self._lock:
            cell = family.cells.get(values)
            if cell is None:
                cell = self._admit(family, values)
            cell.count += 1
            if cell.histogram is not None:
                cell.histogram.observe(ms / 1_000)
                if family.is_end:
                    self.recent.add()

    def _declare(self, kind: type[Event]) -> Family:
        with self._lock:
            return self._families.setdefault(kind, Family(kind))

    def _admit(self, family: Family, values: Any) -> Cell:  # noqa: ANN401 - one field or many
        raw = values[1:] if family.labels else ()
        words, are_known = words_of(self._vocabulary, family.labels, raw)
        cell = family.series.get(words)
        if cell is None and len(family.series) >= MOST_SERIES:
            words, are_known = (OTHER,) * len(words), False
            cell = family.series.get(words)
        if cell is None:
            cell = family.series[words] = Cell(self._histogram_of(family, words))
        if are_known:  # else each invented value would be kept here
            family.cells[values] = cell
        return cell

    def _histogram_of(self, family: Family, words: _Key) -> Histogram | None:
        latency = family.latency
        if latency is None:
            return None
        said = dict(zip(family.labels, words, strict=True))
        key = tuple(said[label] for label in latency.labels)
        if latency.outcome is not None:
            key = (*key, latency.outcome)
        return self._histograms[latency.metric].setdefault(key, Histogram())

    # --- what was counted -------------------------------------------------------------------------

    def counters(self) -> list[tuple[type[Event], tuple[str, ...], dict[_Key, int]]]:
        """Of every event its labels, and the counts by what those say, by the events' names."""
        with self._lock:
            return [self._counted(kind) for _, kind in sorted(EVENTS.items())]

    def _counted(self, kind: type[Event]) -> tuple[type[Event], tuple[str, ...], dict[_Key, int]]:
        labels = tuple(labels_of(kind).values())
        family = self._families.get(kind)
        counts = {words: cell.count for words, cell in family.series.items()} if family else {}
        return kind, labels, counts if labels else {(): 0} | counts

    def histograms(self, metric: str) -> dict[_Key, Histogram]:
        """Copies of the histograms of one metric, by what their labels say."""
        with self._lock:
            return {words: one.copy() for words, one in self._histograms[metric].items()}

    def total(self, kind: type[Event]) -> int:
        """How many events of a kind there were."""
        family = self._families.get(kind)
        with self._lock:
            return sum(cell.count for cell in family.series.values()) if family else 0


def histogram_labels(metric: str) -> tuple[str, ...]:
    """The labels of a histogram."""
    [latency, *_] = [latency for latency in LATENCIES.values() if latency.metric == metric]
    return latency.labels if latency.outcome is None else (*latency.labels, "outcome")
