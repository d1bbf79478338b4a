"""Traces by OpenTelemetry: a span for each request, each claim and each attempt of a step.

Nothing of OpenTelemetry is imported while traces are off: then `current` is None, which whoever
makes spans looks at once, when it is made itself. They are on after `start_tracing`, which needs
the extra `otel`, or in a program that has set up OpenTelemetry for itself, after `adopt_tracing`.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from hashlib import blake2b
from time import time_ns
from typing import TYPE_CHECKING, Any, Final

from headrace.telemetry.events import Event, Level, add_sink
from headrace.telemetry.masking import clean_text
from headrace.telemetry.worker_events import BatchClaimed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from uuid import UUID

    from opentelemetry.trace import Span, SpanContext, Tracer

NAME: Final = "headrace"
TRACES_PATH: Final = "/v1/traces"
OWN: Final = "headrace"
"""What marks the providers of `start_tracing`: once one was stopped, nothing comes out of it."""
MS_IN_NS: Final = 1_000_000


class Tracing:
    """Makes spans.

    Args:
        tracer: Of OpenTelemetry.
        project: The Google Cloud project of the traces, for log lines; None elsewhere.
        choose_trace: Says of which trace the spans are that begin inside its `with` block; None
            where the tracer cannot be told.
    """

    def __init__(
        self,
        tracer: Tracer,
        *,
        project: str | None = None,
        choose_trace: Callable[[int], Any] | None = None,
    ) -> None:
        from opentelemetry import trace  # noqa: PLC0415 - see the module
        from opentelemetry.context import Context  # noqa: PLC0415

        self._trace, self._nothing = trace, Context()
        self._tracer, self._project, self._choose = tracer, project, choose_trace
        self._forget = add_sink(self._claimed, level=Level.DEBUG, kinds=[BatchClaimed])

    def close(self) -> None:
        """Make no more spans of claims."""
        self._forget()

    # --- steps ------------------------------------------------------------------------------------

    @contextmanager
    def step(
        self, name: str, job: UUID, run: int, submitter: str | None, attributes: Mapping[str, Any]
    ) -> Iterator[Span]:
        """The span of an attempt, current inside the `with` block.

        All attempts of one run are one trace, whoever makes them; it links to the trace of the
        request that submitted the job.

        Args:
            name: Of the step, with its pipeline.
            job: Whose step.
            run: Of the job.
            submitter: The `traceparent` that the job was submitted with.
            attributes: What the span says.
        """
        context = None if submitter is None else span_context_of(submitter)
        links = [] if context is None else [self._trace.Link(context)]
        begin = self._tracer.start_span
        if self._choose is None:
            span = begin(name, context=self._nothing, links=links, attributes=attributes)
        else:
            with self._choose(trace_id_of(job, run)):
                span = begin(name, context=self._nothing, links=links, attributes=attributes)
        try:
            with self._trace.use_span(span, record_exception=False, set_status_on_exception=False):
                yield span
        finally:
            span.end()

    def fail(self, span: Span, code: str, message: str) -> None:
        """Let a span say that what it stands for failed; the message is masked and cut."""
        description = f"{code}: {clean_text(message)}"
        span.set_status(self._trace.Status(self._trace.StatusCode.ERROR, description))
        span.set_attribute("error.type", code)

    # --- requests and claims ----------------------------------------------------------------------

    @contextmanager
    def request(self, method: str, parent: str | None) -> Iterator[Span]:
        """The span of a request, current inside the `with` block.

        Args:
            method: Of the request.
            parent: The client's `traceparent`.
        """
        context = self._nothing
        remote = None if parent is None else span_context_of(parent)
        if remote is not None:
            above = self._trace.NonRecordingSpan(remote)
            context = self._trace.set_span_in_context(above, context)
        span = self._tracer.start_span(method, context=context, kind=self._trace.SpanKind.SERVER)
        try:
            with self._trace.use_span(span, record_exception=False, set_status_on_exception=False):
                yield span
        finally:
            span.end()

    def _claimed(self, event: Event) -> None:
        if isinstance(event, BatchClaimed):
            began = time_ns() - int(event.latency_ms * MS_IN_NS)
            attributes: dict[str, str | int] = {
                "headrace.jobs": event.jobs,
                "headrace.worker_id": event.worker_id,
            }
            self._tracer.start_span(
                "claim", context=self._nothing, start_time=began, attributes=attributes
            ).end()

    # --- what others need of it -------------------------------------------------------------------

    def traceparent(self, span: Span) -> str:
        """A span as others name it: the W3C header."""
        context = span.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    def log_fields(self) -> dict[str, object]:
        """What a log line says of the present span, by Cloud Logging's names; empty without one."""
        context = self._trace.get_current_span().get_span_context()
        if not context.is_valid:
            return {}
        trace = f"{context.trace_id:032x}"
        named = trace if self._project is None else f"projects/{self._project}/traces/{trace}"
        return {
            "trace_id": trace,
            "logging.googleapis.com/trace": named,
            "logging.googleapis.com/spanId": f"{context.span_id:016x}",
            "logging.googleapis.com/trace_sampled": context.trace_flags.sampled,
        }


current: Tracing | None = None
"""Makes this process's spans; None while traces are off."""


def trace_id_of(job: UUID, run: int) -> int:
    """The trace of a run: the same in all workers, and evenly spread, so that sampling is fair."""
    return int.from_bytes(blake2b(job.bytes + run.to_bytes(8), digest_size=16).digest())


def span_context_of(traceparent: str) -> SpanContext | None:
    """What a W3C header stands for; None where it is none."""
    from opentelemetry.trace import SpanContext, TraceFlags  # noqa: PLC0415

    try:
        _, trace, span, flags = traceparent.split("-")
        context = SpanContext(int(trace, 16), int(span, 16), is_remote=True,
                              trace_flags=TraceFlags(int(flags, 16)))  # fmt: skip
    except ValueError:
        return None
    return context if context.is_valid else None


def start_tracing(
    endpoint: str, *, sample: float, version: str, project: str | None = None
) -> Callable[[], None]:
    """Send spans from now on; for a process that headrace owns.

    Args:
        endpoint: `http://collector:4318`, or a whole address.
        sample: The part of the traces that begin here which is recorded, 0 to 1.
        version: Of this service.
        project: See `Tracing`.

    Returns:
        A function that sends what waits, for some seconds at most, and ends it: call it in a
        thread.

    Raises:
        ModuleNotFoundError: The extra `otel` is not installed.
    """
    global current  # noqa: PLW0603 - the one configuration of the process
    from opentelemetry import trace  # noqa: PLC0415

    from headrace.telemetry.spans import OwnProvider, choose_trace, make_provider  # noqa: PLC0415

    provider = make_provider(address_of(endpoint), sample=sample, version=version)
    if not isinstance(trace.get_tracer_provider(), OwnProvider):  # it can be set only once
        trace.set_tracer_provider(provider)  # so that the spans of a step's calls come here too
    tracer = provider.get_tracer(NAME, version)
    mine = current = Tracing(tracer, project=project, choose_trace=choose_trace)

    def stop() -> None:
        global current  # noqa: PLW0603
        mine.close()
        if current is mine:
            current = None
        provider.shutdown()

    return stop


def adopt_tracing() -> Tracing | None:
    """What makes the spans of this process: also where its program set up OpenTelemetry itself."""
    global current  # noqa: PLW0603
    if current is None and "opentelemetry.sdk.trace" in sys.modules:
        from opentelemetry import trace  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415

        provider = trace.get_tracer_provider()
        if isinstance(provider, TracerProvider) and not hasattr(provider, OWN):
            current = Tracing(provider.get_tracer(NAME))
    return current


def address_of(endpoint: str) -> str:
    """Where spans are sent: the usual path is added where there is none."""
    _, _, rest = endpoint.partition("://")
    return endpoint if "/" in rest.rstrip("/") else endpoint.rstrip("/") + TRACES_PATH
