"""What the metrics of this process say in short: rates, shares of failures, percentiles."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, TypeVar

from headrace.telemetry.job_events import (
    IdempotentSkip,
    JobCancelled,
    JobCompleted,
    JobFailed,
    JobRetryScheduled,
    JobStarted,
    JobTimeout,
    StaleWriteRefused,
)
from headrace.telemetry.metrics import RECENT_S, histogram_labels
from headrace.telemetry.series import Histogram, merged, quantile_s
from headrace.telemetry.step_events import StepFailed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headrace.telemetry.events import Event
    from headrace.telemetry.metrics import Metrics

T = TypeVar("T")
PARTS: Final = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


def jobs_of(metrics: Metrics) -> dict[str, float | int | None]:
    """What became of jobs in this process."""
    completed = metrics.total(JobCompleted)
    failed = metrics.total(JobFailed) + metrics.total(JobTimeout)
    ended = completed + failed
    return {
        "started": metrics.total(JobStarted),
        "processed": ended + metrics.total(JobCancelled),
        "completed": completed,
        "failed": failed,
        "cancelled": metrics.total(JobCancelled),
        "skipped": metrics.total(IdempotentSkip),
        "retried": metrics.total(JobRetryScheduled),
        "stale_writes": metrics.total(StaleWriteRefused),
        "success_rate_percent": round(100 * completed / ended, 2) if ended else None,
        "jobs_per_s": round(metrics.recent.count() / RECENT_S, 3),
    }


def latency_of(histogram: Histogram) -> dict[str, float | int | None]:
    """How many there were, the mean and the percentiles, in milliseconds."""
    count = histogram.count
    shown: dict[str, float | int | None] = {
        "count": count,
        "mean_ms": _ms(histogram.sum_s / count if count else None),
    }
    return shown | {f"{name}_ms": _ms(quantile_s(histogram, part)) for name, part in PARTS.items()}


def latencies_of(metrics: Metrics) -> dict[str, dict[str, float | int | None]]:
    """Jobs from acceptance to end, and their waits until they were claimed."""
    return {
        short: latency_of(merged(metrics.histograms(name).values()))
        for short, name in (("job", "job_latency"), ("queue", "queue_latency"))
    }


def steps_of(metrics: Metrics) -> list[dict[str, object]]:
    """Each step's attempts: how many failed, and how long they took."""
    labels = histogram_labels("step_latency")
    by_step: dict[tuple[str, str], dict[str, Histogram]] = {}
    for words, histogram in metrics.histograms("step_latency").items():
        said = dict(zip(labels, words, strict=True))
        key = (said["pipeline"], said["step"])
        by_step.setdefault(key, {})[said["outcome"]] = histogram
    return [_step(key, outcomes) for key, outcomes in sorted(by_step.items())]


def _step(key: tuple[str, str], outcomes: dict[str, Histogram]) -> dict[str, object]:
    whole = merged(outcomes.values())
    failed = outcomes.get("failed", Histogram()).count
    return {
        "pipeline": key[0],
        "step": key[1],
        "failed": failed,
        "error_rate_percent": round(100 * failed / whole.count, 2),
        **latency_of(whole),
    }


def codes_of(metrics: Metrics) -> dict[str, int]:
    """How often steps failed with which code."""
    return _sums(_said(metrics, StepFailed, "code"))


def _said(metrics: Metrics, kind: type[Event], label: str) -> Iterable[tuple[str, int]]:
    for each, labels, counts in metrics.counters():
        if each is kind:
            place = labels.index(label)
            yield from ((words[place], count) for words, count in counts.items())


def _sums(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for name, count in pairs:
        sums[name] += count
    return dict(sorted(sums.items()))


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(1_000 * seconds, 3)
