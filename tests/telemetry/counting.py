"""What tests of metrics share: events of every kind, and the metrics as Prometheus reads them."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from uuid import UUID

from prometheus_client.parser import text_string_to_metric_families

import headrace.telemetry
from headrace.telemetry.events import EVENTS, Event
from headrace.telemetry.exposition import Gauge, render
from headrace.telemetry.metrics import Metrics

JOB = UUID("0192f1e2-1234-7abc-8def-001122334455")
OWN = headrace.telemetry.__name__
VALUES: dict[str, object] = {
    "str": "word",
    "int": 3,
    "float": 250.0,
    "bool": True,
    "UUID": JOB,
    "datetime": datetime(2026, 11, 22, tzinfo=UTC),
    "tuple[str, ...]": ("word",),
}


def declared() -> list[type[Event]]:
    """Every event of headrace; not those that tests declare."""
    return [kind for kind in EVENTS.values() if kind.__module__.startswith(OWN)]


def made(kind: type[Event], /, **values: object) -> Event:
    """An event of a kind, with some value in every field."""
    fields = {
        field.name: values.get(field.name, VALUES[str(field.type).partition(" | ")[0]])
        for field in dataclasses.fields(kind)
    }
    return kind(**fields)


@contextlib.contextmanager
def counted() -> Iterator[Metrics]:
    """The metrics of what is told inside a `with` block."""
    metrics = Metrics()
    forget = metrics.listen()
    try:
        yield metrics
    finally:
        forget()


Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(metrics: Metrics, gauges: Sequence[Gauge] = ()) -> Samples:
    """Every sample by its name and labels."""
    return read(render(metrics, gauges)[0].decode())


def read(text: str) -> Samples:
    """Every sample of a text, by its name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float | None:
    """One sample."""
    return found.get((name, frozenset(labels.items())))
