"""Jobs that steps submit, of which some are their children."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from headrace.client.options import ordering_key_of
from headrace.errors import OptionError
from headrace.store.children import bind_child, is_in_line, priority_of
from headrace.telemetry.events import emit, enabled
from headrace.telemetry.wait_events import ChildSubmitted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.client import JobHandle
    from headrace.model.pipeline import Pipeline
    from headrace.worker.attempt import Attempt
    from headrace.worker.engine import Engine
    from headrace.worker.run import JobRun


OPTIONS: Final = frozenset({"priority", "due", "deadline", "ordering_key", "concurrency_key"})
IN_LINE: Final = (
    "a job that waits for this child has the same one, so the child would never start; use "
    "another, or none where the child's pipeline has no `ordered_by`"
)


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse what is not a step's to say: whose job it is, and under which key it is found again.

    Raises:
        OptionError: One is not among those of `StepContext.submit`.
    """
    unknown = sorted(options.keys() - OPTIONS)
    if unknown:
        told = f"a step gives none; leave it out: there are {', '.join(sorted(OPTIONS))}"
        raise OptionError(unknown[0], told)


async def priority_for(run: JobRun, engine: Engine) -> int:
    """The priority of jobs for which the steps of this one name none: its own."""
    if run.priority is None:
        async with engine.pool.acquire() as connection:
            run.priority = await priority_of(connection, run.claim.job)
    return run.priority


async def submit_child(
    attempt: Attempt,
    engine: Engine,
    pipeline: Pipeline[Any, Any],
    value: object,
    options: Mapping[str, Any],
) -> JobHandle[Any]:
    """Submit a job that is bound to the step: stored and bound in one transaction."""
    claim, known = attempt.run.claim, engine.client.pipeline(pipeline)
    key = ordering_key_of(known, options.get("ordering_key"), claim.owner)
    async with engine.pool.acquire() as connection, connection.transaction():
        if key is not None and await is_in_line(connection, claim.job, key):
            raise OptionError("ordering_key", IN_LINE)
        child: JobHandle[Any] = await engine.client.submit(
            pipeline, value, connection=connection, **options
        )
        await bind_child(
            connection, UUID(child.id), parent=claim.job, run=claim.run, token=claim.token
        )
    if enabled(ChildSubmitted):
        emit(
            ChildSubmitted(
                job_id=claim.job,
                run=claim.run,
                pipeline=claim.pipeline.name,
                queue=claim.queue,
                worker_id=str(claim.worker),
                step=attempt.step.name,
                item=attempt.item or None,
                child_id=child.id,
            )
        )
    engine.client.echo(known.queue)
    attempt.children = {**(attempt.children or {}), child.id: known}
    return child
