"""Attempts inside spans; used in place of the plain functions while traces are on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.worker.outcomes import Failed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any, TypeAlias

    from headrace.telemetry.tracing import Tracing
    from headrace.worker.attempt import Attempt
    from headrace.worker.engine import Engine
    from headrace.worker.outcomes import Outcome

    Ended: TypeAlias = Callable[[Attempt, Outcome, str | None], None]
    Perform: TypeAlias = Callable[[Attempt, Engine, Ended], Awaitable[None]]


def traced(perform: Perform, tracing: Tracing) -> Callable[[Attempt, Engine, Ended], Any]:
    """The same function, inside the span of the attempt."""

    async def perform_traced(attempt: Attempt, engine: Engine, ended: Ended) -> None:
        claim = attempt.run.claim
        with tracing.step(
            f"{claim.pipeline.name}.{attempt.step.name}",
            claim.job,
            claim.run,
            claim.traceparent,
            _attributes(attempt),
        ) as span:

            def told(ending: Attempt, outcome: Outcome, artifact: str | None = None) -> None:
                if isinstance(outcome, Failed):
                    tracing.fail(span, outcome.code, outcome.message)
                span.set_attribute("headrace.outcome", type(outcome).__name__.lower())
                ended(ending, outcome, artifact)

            await perform(attempt, engine, told)

    return perform_traced


def _attributes(attempt: Attempt) -> dict[str, str | int]:
    claim = attempt.run.claim
    found: dict[str, str | int] = {
        "headrace.job_id": str(claim.job),
        "headrace.run": claim.run,
        "headrace.pipeline": claim.pipeline.name,
        "headrace.queue": claim.queue,
        "headrace.step": attempt.step.name,
        "headrace.attempt": attempt.number,
        "headrace.worker_id": str(claim.worker),
    }
    if attempt.item:
        found["headrace.item"] = attempt.item
    return found
