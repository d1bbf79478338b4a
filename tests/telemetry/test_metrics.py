"""Metrics count every event, and never more than so many series."""

from __future__ import annotations

import dataclasses

import pytest
from prometheus_client.parser import text_string_to_metric_families

from headrace.telemetry.events import Event, counting, emit, enabled, field_names
from headrace.telemetry.exposition import Gauge, render
from headrace.telemetry.identity_events import CredentialRefused
from headrace.telemetry.job_events import (
    Enqueued,
    JobClaimed,
    JobCompleted,
    JobFailed,
    JobStarted,
    JobTimeout,
)
from headrace.telemetry.metrics import HISTOGRAMS, LATENCIES, Metrics, labels_of
from headrace.telemetry.series import (
    BUCKETS_S,
    MOST_SERIES,
    MOST_VALUES,
    OTHER,
    Histogram,
    quantile_s,
)
from headrace.telemetry.step_events import StepCompleted, StepFailed, StepStarted
from headrace.telemetry.summary import codes_of, jobs_of, latencies_of, steps_of
from headrace.telemetry.worker_events import BatchClaimed, SweepCompleted
from tests.listening import listening
from tests.telemetry.counting import counted, declared, made, samples, value
from tests.unit.log_lines import KEY

BOUNDED = {
    "pipeline", "queue", "step", "code", "cause", "reason", "wait_reason", "service", "method",
    "route", "status", "outcome", "channel", "kind", "topic",
    "dependency", "budget", "schedule", "policy",
}  # fmt: skip
UNMEASURED = {SweepCompleted}
"""A duty that nobody waits for."""


class TestNames:
    def test_every_event_has_a_counter_and_every_counter_an_event(self) -> None:
        text = render(Metrics(), [])[0].decode()
        names = {
            family.name.removeprefix("headrace_")
            for family in text_string_to_metric_families(text)
            if family.type == "counter" and family.name.startswith("headrace_")
        }
        assert {kind.name for kind in declared()} <= names
        assert {made_up for made_up in names if made_up.startswith("job_")} == {
            kind.name for kind in declared() if kind.name.startswith("job_")
        }

    def test_every_event_that_is_told_is_counted_once(self) -> None:
        for kind in declared():
            with counted() as metrics:
                emit(made(kind))
            assert metrics.total(kind) == 1, kind
            found = {key: count for key, count in samples(metrics).items() if count}
            assert sum(
                count for (name, _), count in found.items() if name == f"headrace_{kind.name}_total"
            ) == 1  # fmt: skip

    def test_every_duration_of_an_event_is_in_a_histogram(self) -> None:
        durations = {
            kind: [name for name in field_names(kind) if name.endswith("latency_ms")]
            for kind in declared()
        }
        told = {kind for kind, names in durations.items() if names} - UNMEASURED - {JobStarted}
        assert told == set(LATENCIES)
        for kind, latency in LATENCIES.items():
            assert latency.field in durations[kind]
            assert set(latency.labels) <= set(labels_of(kind).values())
            assert latency.metric in HISTOGRAMS

    def test_labels_are_of_few_values_and_never_of_somebody(self) -> None:
        for kind in declared():
            assert set(labels_of(kind).values()) <= BOUNDED, kind
            assert {"job_id", "tenant", "caller", "correlation_id", "item"}.isdisjoint(
                labels_of(kind)
            )

    def test_buckets_reach_from_5_ms_to_two_hours(self) -> None:
        assert (BUCKETS_S[0], BUCKETS_S[-1]) == (0.005, 7_200.0)
        assert list(BUCKETS_S) == sorted(BUCKETS_S)


class TestCounting:
    def test_nothing_is_built_where_nobody_counts(self) -> None:
        assert not enabled(StepCompleted)
        assert counting(StepCompleted) is None
        with counted():
            assert enabled(StepCompleted)
        assert not enabled(StepCompleted)

    def test_events_are_counted_unbuilt_only_while_nobody_else_wants_them(self) -> None:
        with counted() as metrics:
            assert counting(StepCompleted) is metrics
            with listening():
                assert counting(StepCompleted) is None
            assert counting(StepCompleted) is metrics

    @pytest.mark.parametrize(
        ("kind", "words"),
        [
            (JobClaimed, ("job_claimed", "word", "word")),
            (JobStarted, ("job_started", "word", "word")),
            (StepStarted, ("step_started", "word", "word", "word")),
            (StepCompleted, ("step_completed", "word", "word", "word")),
            (JobCompleted, ("job_completed", "word", "word")),
        ],
    )
    def test_an_unbuilt_event_counts_like_a_built_one(
        self, kind: type[Event], words: tuple[str, ...]
    ) -> None:
        built, unbuilt = Metrics(), Metrics()
        built(made(kind))
        unbuilt.count(kind, words, 250.0)
        ours = {key: count for key, count in samples(built).items() if "headrace" in key[0]}
        theirs = {key: count for key, count in samples(unbuilt).items() if "headrace" in key[0]}
        assert ours == theirs

    def test_a_histogram_has_count_sum_and_cumulated_buckets(self) -> None:
        metrics = Metrics()
        for ms in (3.0, 30.0, 9_000_000.0):
            metrics(made(BatchClaimed, latency_ms=ms))
        found = samples(metrics)
        name = "headrace_claim_latency_seconds"
        assert value(found, f"{name}_count") == 3
        assert value(found, f"{name}_sum") == pytest.approx(9_000.033)
        assert value(found, f"{name}_bucket", le="0.005") == 1
        assert value(found, f"{name}_bucket", le="0.05") == 2
        assert value(found, f"{name}_bucket", le="7200.0") == 2
        assert value(found, f"{name}_bucket", le="+Inf") == 3

    def test_outcomes_share_a_histogram(self) -> None:
        metrics = Metrics()
        metrics(made(JobCompleted))
        metrics(made(JobTimeout))
        found = samples(metrics)
        for outcome in ("completed", "timeout"):
            labels = {"pipeline": "word", "queue": "word", "outcome": outcome}
            assert value(found, "headrace_job_latency_seconds_count", **labels) == 1

    def test_gauges_are_shown_with_their_labels(self) -> None:
        gauge = Gauge("queue_depth", "Jobs.", ("queue", "state"), {("a", "due"): 4.0})
        found = samples(Metrics(), [gauge])
        assert value(found, "headrace_queue_depth", queue="a", state="due") == 4

    def test_a_reader_may_ask_for_open_metrics(self) -> None:
        text, content_type = render(Metrics(), [], "application/openmetrics-text; version=1.0.0")
        assert content_type.startswith("application/openmetrics-text")
        assert text.endswith(b"# EOF\n")


class TestBounds:
    """O2: what strangers choose never makes more than so many series."""

    def test_a_label_that_strangers_choose_ends_as_other(self) -> None:
        metrics = Metrics()
        for number in range(MOST_VALUES + 50):
            metrics(made(Enqueued, queue=f"queue-{number}"))
        series = [key for key in samples(metrics) if key[0] == "headrace_enqueued_total"]
        assert len(series) == MOST_VALUES + 1
        other = {"pipeline": "word", "queue": OTHER}
        assert value(samples(metrics), "headrace_enqueued_total", **other) == 50

    def test_what_is_known_is_told_apart_whoever_comes_first(self) -> None:
        metrics = Metrics(known={"queue": ["real"]})
        for number in range(MOST_VALUES):
            metrics(made(Enqueued, queue=f"queue-{number}"))
        metrics(made(Enqueued, queue="real"))
        real = {"pipeline": "word", "queue": "real"}
        assert value(samples(metrics), "headrace_enqueued_total", **real) == 1

    def test_combinations_of_labels_end_too(self) -> None:
        metrics = Metrics()
        for number in range(MOST_SERIES + 100):
            metrics(made(Enqueued, queue=f"q{number % 50}", pipeline=f"p{number // 50}"))
        series = [key for key in samples(metrics) if key[0] == "headrace_enqueued_total"]
        assert len(series) == MOST_SERIES + 1
        others = {"pipeline": OTHER, "queue": OTHER}
        assert value(samples(metrics), "headrace_enqueued_total", **others) == 100

    def test_values_beyond_the_bound_take_no_memory(self) -> None:
        metrics = Metrics()
        for number in range(3 * MOST_VALUES):
            metrics(made(Enqueued, queue=f"queue-{number}"))
        [family] = metrics._families.values()
        assert len(family.cells) <= MOST_VALUES

    def test_a_secret_in_a_label_is_masked(self) -> None:
        metrics = Metrics()
        metrics(made(Enqueued, queue=KEY))
        metrics(made(CredentialRefused, reason=f"password={KEY}"))
        text = render(metrics, [])[0].decode()
        assert KEY not in text

    def test_line_breaks_and_quotes_in_a_label_forge_no_sample(self) -> None:
        metrics = Metrics()
        forged = 'a"} 9\nheadrace_forged_total 1\n#\\'
        metrics(made(Enqueued, queue=forged))
        found = samples(metrics)
        assert value(found, "headrace_forged_total") is None
        labels = {"pipeline": "word", "queue": forged}
        assert value(found, "headrace_enqueued_total", **labels) == 1


class TestSummary:
    def test_a_quantile_is_that_of_its_bucket(self) -> None:
        histogram = Histogram()
        assert quantile_s(histogram, 0.5) is None
        for _ in range(99):
            histogram.observe(0.02)
        histogram.observe(400.0)
        assert quantile_s(histogram, 0.5) == pytest.approx(0.0176, abs=0.001)
        assert quantile_s(histogram, 0.99) == 0.025
        assert quantile_s(histogram, 1.0) == 600.0
        histogram.observe(10_000.0)
        assert quantile_s(histogram, 1.0) == 7_200.0

    def test_it_tells_rates_and_shares(self) -> None:
        metrics = Metrics()
        for _ in range(3):
            metrics(made(JobCompleted))
        metrics(made(JobFailed))
        jobs = jobs_of(metrics)
        assert (jobs["completed"], jobs["failed"], jobs["processed"]) == (3, 1, 4)
        assert jobs["success_rate_percent"] == 75.0
        assert jobs["jobs_per_s"] == pytest.approx(4 / 60, abs=0.001)
        assert latencies_of(metrics)["job"]["count"] == 4

    def test_it_tells_the_share_of_failures_of_each_step(self) -> None:
        metrics = Metrics()
        for step, kind in (("a", StepCompleted), ("a", StepFailed), ("b", StepCompleted)):
            metrics(made(kind, step=step))
        shares = {str(step["step"]): step["error_rate_percent"] for step in steps_of(metrics)}
        assert shares == {"a": 50.0, "b": 0.0}
        assert codes_of(metrics) == {"word": 1}

    def test_without_events_it_divides_by_nothing(self) -> None:
        jobs = jobs_of(Metrics())
        assert jobs["success_rate_percent"] is None
        assert steps_of(Metrics()) == []


def test_what_events_hold_is_not_changed() -> None:
    event = made(JobFailed)
    before = dataclasses.asdict(event)
    Metrics()(event)
    assert dataclasses.asdict(event) == before
