"""The text of metrics that Prometheus reads."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Final, NamedTuple

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from headrace.telemetry.metrics import HISTOGRAMS, histogram_labels
from headrace.telemetry.series import BUCKETS_S

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from prometheus_client import Metric

    from headrace.telemetry.metrics import Metrics
    from headrace.telemetry.series import Histogram

PREFIX: Final = "headrace_"
_BOUNDS: Final = (*(str(bound) for bound in BUCKETS_S), "+Inf")


class Gauge(NamedTuple):
    """A value that goes up and down, as it is now.

    Attributes:
        name: Without the prefix `headrace_`; with its unit.
        help: What it says.
        labels: The names of its labels.
        values: By what the labels say.
    """

    name: str
    help: str
    labels: tuple[str, ...]
    values: Mapping[tuple[str, ...], float]


def render(metrics: Metrics, gauges: Sequence[Gauge], accept: str = "") -> tuple[bytes, str]:
    """The metrics as text, and its content type.

    Args:
        metrics: What was counted.
        gauges: What is so now.
        accept: The header by which the reader says what it understands.
    """
    registry = CollectorRegistry()
    registry.register(_Collected(metrics, gauges))
    for own in (ProcessCollector, PlatformCollector, GCCollector):
        own(registry=registry)
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


class _Collected(Collector):
    def __init__(self, metrics: Metrics, gauges: Sequence[Gauge]) -> None:
        self._metrics, self._gauges = metrics, gauges

    def collect(self) -> Iterator[Metric]:
        yield from _counters(self._metrics)
        for name, text in HISTOGRAMS.items():
            yield _histogram(name, text, self._metrics.histograms(name))
        for gauge in self._gauges:
            family = GaugeMetricFamily(PREFIX + gauge.name, gauge.help, labels=gauge.labels)
            for words, value in sorted(gauge.values.items()):
                family.add_metric(words, value)
            yield family


def _counters(metrics: Metrics) -> Iterable[Metric]:
    for kind, labels, counts in metrics.counters():
        text = (kind.__doc__ or "").strip()
        family = CounterMetricFamily(PREFIX + kind.name, text, labels=labels)
        for words, count in sorted(counts.items()):
            family.add_metric(words, count)
        yield family


def _histogram(name: str, text: str, series: Mapping[tuple[str, ...], Histogram]) -> Metric:
    labels = histogram_labels(name)
    family = HistogramMetricFamily(f"{PREFIX}{name}_seconds", text, labels=labels)
    for words, histogram in sorted(series.items(), key=lambda pair: pair[0]):
        buckets = list(zip(_BOUNDS, accumulate(histogram.counts), strict=True))
        family.add_metric(words, buckets, histogram.sum_s)
    return family
