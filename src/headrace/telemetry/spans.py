"""How spans leave the process: the SDK of OpenTelemetry, of the extra `otel`."""

from __future__ import annotations

import platform
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

if TYPE_CHECKING:
    from collections.abc import Iterator

_chosen: ContextVar[int | None] = ContextVar("headrace_trace", default=None)


@contextmanager
def choose_trace(trace_id: int) -> Iterator[None]:
    """Let spans that begin inside the `with` block be of this trace, if they have no parent."""
    token = _chosen.set(trace_id)
    try:
        yield
    finally:
        _chosen.reset(token)


class OwnProvider(TracerProvider):
    """A provider that headrace made, not the program around it."""

    headrace = True


class _ChosenIds(RandomIdGenerator):
    def generate_trace_id(self) -> int:
        return _chosen.get() or super().generate_trace_id()


def make_provider(address: str, *, sample: float, version: str) -> OwnProvider:
    """What makes spans and sends them in batches, from a thread of its own.

    Args:
        address: Where to, by OTLP over HTTP.
        sample: The part of the traces that begin here which is recorded; others follow their
            parents.
        version: Of this service.
    """
    resource = Resource.create(
        {"service.name": "headrace", "service.version": version, "host.name": platform.node()}
    )
    provider = OwnProvider(
        sampler=ParentBased(TraceIdRatioBased(sample)),
        resource=resource,
        id_generator=_ChosenIds(),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=address, timeout=5)))
    return provider
