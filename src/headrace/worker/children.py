"""Child jobs as a worker makes and ends them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from headrace.store.children import bind_child
from headrace.telemetry.events import emit, enabled
from headrace.telemetry.wait_events import ChildSubmitted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.client import JobHandle
    from headrace.model.pipeline import Pipeline
    from headrace.worker.attempt import Attempt
    from headrace.worker.engine import Engine


async def submit_child(
    attempt: Attempt,
    engine: Engine,
    pipeline: Pipeline[Any, Any],
    value: object,
    options: Mapping[str, Any],
) -> JobHandle[Any]:
    """Submit a job that is bound to the step: stored and bound in one transaction."""
    claim = attempt.run.claim
    async with engine.pool.acquire() as connection, connection.transaction():
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
    known = engine.client.pipeline(pipeline)
    engine.client.echo(known.queue)
    attempt.children = {**(attempt.children or {}), child.id: known}
    return child
